"""The contents of a run's report, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.evaluation.bootstrap import Interval
from components.reporting.predictions import Prediction
from components.reporting.word_senses import WordVectors
from components.training.seed_results import SeedRuns
from components.tuning.trials import Search
from components.validation.corpus_statistics import SplitStatistics
from components.validation.gate_checks import Check
from models.metric import Metric

OVERALL = "overall"
"""Key of the metrics over all examples; the keys of other slices are `feature=value`."""
MAX_VALUES = 20
"""Largest number of values of a feature, such as a document's source, that the page lists."""


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
    """A component's state (`done`, `cached`, `failed`, `interrupted`, `running`) and seconds."""

    component: str
    state: str
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Version:
    """The overall metrics of one run of the history; `label` identifies the run."""

    label: str
    metrics: Mapping[str, float]
    blessed: bool | None = None


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Documents that cleaning dropped for one reason; `examples` are (id, detail, first words)."""

    reason: str
    count: int
    examples: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """Everything that a report shows. A failed run has a report too, so most may be missing.

    Attributes:
        name: name of the pipeline.
        recipe: the recipe that the configuration is based on.
        family: the model's family.
        span: label of the span that the run read; None if it read none.
        fingerprint: fingerprint of the corpus.
        code_version: version of the code.
        version: the pushed version; None if nothing was pushed.
        run_id: id of the run.
        running_at: time at which the page was made, if the run had not ended by then; else empty.
        blessed: whether the model was blessed; None if it was not evaluated.
        reasons: why the model was not blessed, in sentences.
        notes: bounds that were not checked, in sentences.
        steps: the components in the order they ran.
        corpus: statistics of the documents by split.
        quarantined: number of quarantined records by reason; None: not known.
        dropped: documents that cleaning dropped; None: not known.
        checks: checks of the gates before training, each with its gate.
        search: the trials of the hyperparameter search; None if there was no search.
        seeds: results of all seeds; None if the model was trained with one seed.
        training: the training log, by step.
        platforms: descriptions of the hardware and software that training ran on, each with the
            step after which it was used; several if training was resumed elsewhere.
        metrics: the objective's metrics, each with its bounds and its baseline.
        evaluation: metrics of this run's model, by slice and name; slices are `OVERALL` and
            `feature=value`.
        last_blessed: the same for the last blessed model; empty if there was none.
        more_slices: sentences about the slices that are not shown.
        intervals: confidence intervals of this run's metrics over all examples, by name.
        changes: this run's metrics minus the last blessed model's, by name.
        resampling_note: what was resampled for the intervals, in sentences.
        history: overall metrics of the runs up to this one, oldest first.
        predictions: example predictions.
        word_vectors: the vectors of an ambiguous word.
        unreadable: sentences about files that are gone or damaged.
    """

    name: str
    recipe: str
    family: str = ""
    span: str | None = None
    fingerprint: str = ""
    code_version: str = ""
    version: str | None = None
    run_id: str = ""
    running_at: str = ""
    blessed: bool | None = None
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    steps: Sequence[StepState] = ()
    corpus: Mapping[str, SplitStatistics] = dataclasses.field(default_factory=dict)
    quarantined: Mapping[str, int] | None = None
    dropped: Sequence[Dropped] | None = None
    checks: Sequence[tuple[str, Check]] = ()
    search: Search | None = None
    seeds: SeedRuns | None = None
    training: Sequence[TrainingPoint] = ()
    platforms: Sequence[tuple[int, str]] = ()
    metrics: Sequence[Metric] = ()
    evaluation: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    last_blessed: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    more_slices: Sequence[str] = ()
    intervals: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    resampling_note: str = ""
    history: Sequence[Version] = ()
    predictions: Sequence[Prediction] = ()
    word_vectors: WordVectors | None = None
    unreadable: Sequence[str] = ()


def largest_slices(examples: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Chooses the slices that the report shows.

    Args:
        examples: number of examples in each slice, by the slice's name.

    Returns:
        The names: `OVERALL`, then the `MAX_VALUES` largest slices of each feature, largest first;
        and sentences about the slices that are left out.
    """
    by_feature: dict[str, list[str]] = {}
    for name in examples:
        by_feature.setdefault(name.partition("=")[0], []).append(name)
    shown = by_feature.pop(OVERALL, [])
    more = []
    for feature, names in sorted(by_feature.items()):
        names.sort(key=lambda name: (-examples[name], name))
        shown += names[:MAX_VALUES]
        hidden = [examples[name] for name in names[MAX_VALUES:]]
        if hidden:
            share = sum(hidden) / max(1, sum(examples[name] for name in names))
            more.append(
                f"Not shown: {len(hidden):,} more values of {feature}, with {sum(hidden):,} "
                f"examples ({share:.1%})."
            )
    return shown, more
