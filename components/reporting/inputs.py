"""What the report shows, as plain data, and the readers of the files it comes from."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.evaluation.bootstrap import Interval
from components.reporting.prompts import FOLLOWS, Prompts
from components.reporting.word_senses import WordVectors
from components.training.seed_results import SeedRuns
from components.tuning.trials import Search
from components.validation.corpus_statistics import SplitStatistics
from components.validation.gate_checks import Check
from models.errors import ConfigError
from models.objective import Metric

OVERALL = "overall"
"""Key of the figures over all examples; other slices are written `feature=value`."""
MOST_VALUES = 20
"""Values of a feature, as a document's source, that the page shows at most: the largest ones."""


@dataclasses.dataclass(frozen=True)
class TrainingPoint:
    """One record of the training log; `terms` are the loss's terms by the name of their sum."""

    step: int
    loss: float
    terms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    learning_rate: float = float("nan")
    tokens_per_second: float = float("nan")
    gradient_norm: float = float("nan")
    padding_share: float = float("nan")
    seconds: float = float("nan")


@dataclasses.dataclass(frozen=True)
class StepState:
    """A component's state (`done`, `cached`, `failed`, `interrupted` or `running`), its seconds."""

    component: str
    state: str
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Version:
    """One run's overall figures, for the view over spans; `label` is what tells runs apart."""

    label: str
    figures: Mapping[str, float]
    blessed: bool | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model answered: `texts` are its inputs, `answers` (text or label, probability).

    A continuation has no probability: NaN. `expected` is what the text has there.
    """

    signature: str
    texts: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]
    expected: str = ""


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Documents that cleaning dropped for one reason; `examples` are (id, detail, beginning)."""

    reason: str
    count: int
    examples: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """Everything the report shows. A failed run has a report too: most may be missing.

    Attributes:
        name: the run's name.
        recipe: the recipe it started from.
        family: the model's.
        span: the label of the span it read, None if it read none.
        fingerprint: the corpus's fingerprint.
        code_version: version of the code.
        version: the pushed version, None if nothing was pushed.
        run_id: the run.
        at_work: when the page was made of a run that had not ended; empty if it has ended.
        blessed: whether the gate blessed the model; None if the run did not come that far.
        reasons: why not, in sentences.
        notes: bounds that could not be judged, in sentences.
        steps: the components in the order they ran.
        corpus: statistics of the documents by split.
        quarantined: records put aside, by reason.
        dropped: documents that cleaning dropped.
        checks: what the gates before training checked, each check with its gate.
        search: the trials of hyperparameters; None if none were tried.
        seeds: what the training with each of several seeds came to; None where there was one.
        training: the training log, by step.
        computed_on: what training computed on, in words, and the step after which; more than one
            where it went on elsewhere.
        metrics: the objective's figures with their bounds and the baseline of each.
        evaluation: figures by slice and metric name of this run's model; the slice `OVERALL` and
            `feature=value`.
        previous: the same of the last blessed model; empty if there was none.
        more_slices: what the slices that are not shown hold, in sentences.
        intervals: of this run's model, over all examples, by metric name.
        changes: by metric name, this run's model minus the last blessed one.
        resampled: what was resampled for the intervals, in words, and their confidence.
        history: overall figures of the runs so far, oldest first, this one included.
        predictions: example answers.
        bank: the vectors of one ambiguous word.
        unreadable: parts that are gone or damaged, in sentences.
    """

    name: str
    recipe: str
    family: str = ""
    span: str | None = None
    fingerprint: str = ""
    code_version: str = ""
    version: str | None = None
    run_id: str = ""
    at_work: str = ""
    blessed: bool | None = None
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    steps: Sequence[StepState] = ()
    corpus: Mapping[str, SplitStatistics] = dataclasses.field(default_factory=dict)
    quarantined: Mapping[str, int] = dataclasses.field(default_factory=dict)
    dropped: Sequence[Dropped] = ()
    checks: Sequence[tuple[str, Check]] = ()
    search: Search | None = None
    seeds: SeedRuns | None = None
    training: Sequence[TrainingPoint] = ()
    computed_on: Sequence[tuple[int, str]] = ()
    metrics: Sequence[Metric] = ()
    evaluation: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    previous: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    more_slices: Sequence[str] = ()
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    resampled: str = ""
    history: Sequence[Version] = ()
    predictions: Sequence[Prediction] = ()
    bank: WordVectors | None = None
    unreadable: Sequence[str] = ()


def read_training_log(path: pathlib.Path | str) -> list[TrainingPoint]:
    """The points of `training.jsonl`, by step; of a step written twice the later record counts.

    A last line without its line feed is still being written and is left out.

    Raises:
        ConfigError: a line is not a JSON object with `step` and `loss`; names file and line.
    """
    fields = {field.name for field in dataclasses.fields(TrainingPoint)} - {"terms"}
    points: dict[int, TrainingPoint] = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                break
            try:
                record = json.loads(line)
                known = {name: value for name, value in record.items() if name in fields}
                terms = {name: value for name, value in record.items() if name not in fields}
                point = TrainingPoint(**known, terms=terms)
            except (ValueError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"not a record of the training log: {line.strip()[:80]}",
                    where=f"{path}:{number}",
                    remedy="remove the line, or run the training again",
                ) from error
            points[point.step] = point
    return [points[step] for step in sorted(points)]


def read_quarantined(path: pathlib.Path | str) -> dict[str, int]:
    """Quarantined records by reason, the most frequent first, of an `ingestion.json`."""
    counts = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["quarantined_by_reason"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_dropped(path: pathlib.Path | str) -> list[Dropped]:
    """What cleaning dropped, the most frequent reason first, of a `cleaning.json`."""
    summary = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    counts: collections.Counter[str] = collections.Counter()
    for split in summary["splits"].values():
        counts.update(split["dropped"])
    return [
        Dropped(
            reason,
            count,
            tuple((e["id"], e["detail"], e["start"]) for e in summary["examples"][reason]),
        )
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


_CONTINUATION = {"length": 32, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 0, "stop": ""}


def example_predictions(
    prompts: Prompts,
    fill_mask: Callable[..., Mapping[str, np.ndarray]] | None = None,
    next_sentence: Callable[..., Mapping[str, np.ndarray]] | None = None,
    generate: Callable[..., Mapping[str, np.ndarray]] | None = None,
) -> list[Prediction]:
    """The model's answers to the prompts that it can answer.

    Args:
        prompts: what to ask.
        fill_mask: called as `fill_mask(texts=[...])`, gives words and probabilities
            `[batch, masks, k]`, with "" for a mask that lies beyond what the model reads; None for
            a model without.
        next_sentence: called as `next_sentence(first=[...], second=[...])`, gives probability
            `[batch]`, or None.
        generate: called as `generate(prompt=[...], length=[...], …)`, gives text `[batch]`, or
            None.
    """
    predictions = []
    if fill_mask is not None and prompts.masked:
        outputs = fill_mask(texts=[text for asked in prompts.masked for text in asked.texts])
        words, shares = np.asarray(outputs["words"]), np.asarray(outputs["probabilities"])
        read = zip(prompts.masked, words[:, :1], shares[:, :1], strict=True)
        for asked, row, probabilities in read:
            answers = tuple(
                (_text(word), float(share))
                for word, share in zip(row.ravel(), probabilities.ravel(), strict=True)
                if word
            )
            if answers:
                predictions.append(Prediction("fill_mask", asked.texts, answers, asked.expected))
    if next_sentence is not None and prompts.pairs:
        first, second = map(list, zip(*(asked.texts for asked in prompts.pairs), strict=True))
        outputs = next_sentence(first=first, second=second)
        probability = np.asarray(outputs["probability"]).reshape(len(first))
        predictions += [
            Prediction("next_sentence", asked.texts, ((FOLLOWS, float(p)),), asked.expected)
            for asked, p in zip(prompts.pairs, probability, strict=True)
        ]
    if generate is not None and prompts.beginnings:
        begun = [text for asked in prompts.beginnings for text in asked.texts]
        settings = {name: [value] * len(begun) for name, value in _CONTINUATION.items()}
        texts = np.asarray(generate(prompt=begun, **settings)["text"])
        predictions += [
            Prediction(
                "generate", asked.texts, ((f"{prompt}{_text(text)}", math.nan),), asked.expected
            )
            for asked, prompt, text in zip(prompts.beginnings, begun, texts, strict=True)
        ]
    return predictions


def largest_slices(examples: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The slices to show, and in sentences what the others hold.

    Args:
        examples: how many examples are in each slice, by its name.

    Returns:
        Names: `OVERALL`, then of each feature the `MOST_VALUES` largest ones, larger ones first.
    """
    by_feature: dict[str, list[str]] = {}
    for name in examples:
        by_feature.setdefault(name.partition("=")[0], []).append(name)
    shown = by_feature.pop(OVERALL, [])
    more = []
    for feature, names in sorted(by_feature.items()):
        names.sort(key=lambda name: (-examples[name], name))
        shown += names[:MOST_VALUES]
        held = [examples[name] for name in names[MOST_VALUES:]]
        if held:
            share = sum(held) / max(1, sum(examples[name] for name in names))
            more.append(
                f"{len(held):,} more values of {feature} hold {sum(held):,} examples together, "
                f"{share:.1%}."
            )
    return shown, more


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
