"""Does the tokenizer fit the text, and is there something to learn? A gate before training.

ExampleBuilder has counted what the tokenizer makes of the text, and how often each label occurs.
`ExampleGate` compares that with bounds and with the last approved earlier span. So a bound that was
too strict costs the gate alone when it is moved, and no example is made again.
"""

import dataclasses
import json
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelEvaluation

from components.artifacts import ExamplesApproval
from components.config import ValidationConfig
from components.evaluation.served_model import ServedLoss, served_loss, tokenizer_fingerprint
from components.examples.transforms import load
from components.layout import EXAMPLES_FILE, TEST, TOKENIZER_FOLDER, TRAIN
from components.lineage.span_label import span_label
from components.validation.gate_checks import Check, approve, refuse_if_failed
from models.family import ObjectiveConfig
from models.metric import Metric
from models.objective import FeatureSpec
from models.registry import FAMILIES
from models.settings import from_json

_JUDGED_SPLIT = TRAIN  # in a small split a label may be missing by chance
_NO_FIT = (
    "give a vocabulary of this text's language (vocabulary.file), or learn one (without"
    " vocabulary.file, under another --name); put spaces between the words of a language that"
    " writes none, such as Thai; or choose a recipe whose tokens are bytes (gpt)"
)
_LOG = logging.getLogger("polyseme.example_gate")


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a tokenizer fits a span's text.

    Attributes:
        unknown_share: share of the text's bytes, white space apart, that unknown tokens stand for;
            where a model reads these all the same, their share of the tokens.
        tokens_per_word: tokens for each run between white space, or Chinese or Japanese character.
        tokens_per_byte: tokens for each byte, white space apart.
    """

    unknown_share: float
    tokens_per_word: float
    tokens_per_byte: float

    @classmethod
    def of(cls, coverage: Mapping[str, int], *, reads_unknown: bool) -> "Fit":
        """The fit that `components.examples.tokenization.Coverage` has counted."""
        size, words = max(coverage["bytes"], 1), max(coverage["words"], 1)
        unknown = coverage["unknown_tokens"] / max(coverage["tokens"], 1)
        return cls(
            unknown_share=unknown if reads_unknown else coverage["unknown_bytes"] / size,
            tokens_per_word=coverage["tokens"] / words,
            tokens_per_byte=coverage["tokens"] / size,
        )


@component
def ExampleGate(
    examples: InputArtifact[Examples],
    approval: OutputArtifact[ExamplesApproval],
    family: Parameter[str],
    objective: Parameter[str],
    config: Parameter[str],
    quarantine_dir: Parameter[str],
    previous: InputArtifact[ExamplesApproval] = None,
    served_model: InputArtifact[Model] = None,
    served_evaluation: InputArtifact[ModelEvaluation] = None,
) -> None:
    """Lets a span's training examples pass, or raises.

    Args:
        examples: ExampleBuilder's, with its `examples.json` and its copy of the tokenizer.
        approval: written only if the gate opens: `checks.json`, and the fit as properties.
        family: a name of the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: JSON of a ValidationConfig.
        quarantine_dir: receives `span-<number>.ExampleGate.json` if the gate refuses.
        previous: the last approved earlier span's; absent in a first run.
        served_model: the last model that was pushed, whose loss on this text is measured.
        served_evaluation: what it was blessed by.

    Raises:
        DataRefused: naming value and bound of each check that failed.
    """
    bounds = from_json(ValidationConfig, config)
    folder = pathlib.Path(examples.uri)
    summary = json.loads((folder / EXAMPLES_FILE).read_text(encoding="utf-8"))["splits"]
    built, tokenizer = load(family, objective, str(folder / TOKENIZER_FOLDER))
    tokenizer_key = tokenizer_fingerprint(folder / TOKENIZER_FOLDER)
    before = None
    if previous and previous.tokenizer == tokenizer_key:
        before = Fit(previous.unknown_share, previous.tokens_per_word, previous.tokens_per_byte)
    checks = check_examples(
        summary[_JUDGED_SPLIT],
        built.feature_spec(),
        before,
        bounds,
        reads_unknown=tokenizer.reads_unknown,
    )
    served = None
    if served_model:
        metric = loss_metric(family, objective)
        evaluation = served_evaluation.uri if served_evaluation else None
        served = served_loss(served_model.uri, evaluation, examples.uri, metric)
        checks += _served_checks(served, bounds)
    seen = {
        "splits": summary,
        "previous": before and dataclasses.asdict(before),
        "served": served and dataclasses.asdict(served),
    }
    refuse_if_failed(checks, seen, gate="ExampleGate", span=examples.span, folder=quarantine_dir)
    fit = Fit.of(summary[_JUDGED_SPLIT]["coverage"], reads_unknown=tokenizer.reads_unknown)
    approval.span = examples.span
    approval.tokenizer = tokenizer_key
    for name, value in dataclasses.asdict(fit).items():
        setattr(approval, name, value)
    approve(checks, approval.uri)
    _LOG.info(
        "span %s: %d checks of the examples passed: %.2f%% of the text unknown, %.2f tokens a word",
        span_label(examples.span),
        len(checks),
        100 * fit.unknown_share,
        fit.tokens_per_word,
    )


def check_examples(
    summary: Mapping[str, Any],
    spec: FeatureSpec,
    before: Fit | None,
    config: ValidationConfig,
    *,
    reads_unknown: bool,
) -> list[Check]:
    """The checks of the examples to train on.

    Args:
        summary: what `examples.json` says of them.
        spec: the schema of the examples.
        before: the fit of the last approved span under the same tokenizer, None without one.
        config: the bounds.
        reads_unknown: whether the model reads unknown words, and only cannot predict them.
    """
    coverage = summary["coverage"]
    fit = Fit.of(coverage, reads_unknown=reads_unknown)
    field = "max_unknown_target_share" if reads_unknown else "max_unknown_share"
    unknown = "words that cannot be predicted" if reads_unknown else "unknown tokens"
    of = "tokens" if reads_unknown else "text"
    share = coverage["unknown_tokens"] / max(coverage["tokens"], 1)
    value = f"{share:.1%} of {coverage['tokens']:,} tokens"
    checks = [
        Check(
            split=_JUDGED_SPLIT,
            feature=unknown,
            value=value
            if reads_unknown
            else f"{value}, which stand for {fit.unknown_share:.1%} of the text",
            bound=f"at most {getattr(config, field):.1%} of the {of}",
            passed=fit.unknown_share <= getattr(config, field),
            field=f"validation.{field}",
            examples=[
                f"{each['id']}: {each['unknown_share']:.0%} unknown, {each['start']}"
                for each in summary["worst"]
            ],
            remedy=_NO_FIT,
        ),
        Check(
            split=_JUDGED_SPLIT,
            feature="tokens per byte",
            value=f"{fit.tokens_per_byte:.3f}, and {fit.tokens_per_word:.2f} per word",
            bound=f"at most {config.max_tokens_per_byte:g} per byte",
            passed=fit.tokens_per_byte <= config.max_tokens_per_byte,
            field="validation.max_tokens_per_byte",
            remedy=_NO_FIT,
        ),
    ]
    if before:
        checks += _drift_checks(fit, before, f"{unknown}, of the {of}", config)
    for name, counts in summary["labels"].items():
        labels = spec[name].labels
        if labels is None or not sum(counts):
            continue
        rarest = min(range(len(counts)), key=counts.__getitem__)
        rare = counts[rarest] / sum(counts)
        checks.append(
            Check(
                split=_JUDGED_SPLIT,
                feature=name,
                value=f"{counts[rarest]:,} of {sum(counts):,} examples, {rare:.1%}, have the label"
                f" {labels.names[rarest]!r}",
                bound=f"at least {config.min_label_share:.1%}",
                passed=rare >= config.min_label_share,
                field="validation.min_label_share",
                remedy=labels.remedy,
            )
        )
    return checks


def loss_metric(family: str, objective: str) -> Metric:
    """The metric that models are compared by, the first of a family's.

    Args:
        family: a name of the registry.
        objective: the objective's settings that the examples depend on, as JSON.
    """
    config: ObjectiveConfig = from_json(FAMILIES[family].objective_config, objective)
    return config.metrics()[0]


def _served_checks(served: ServedLoss | None, config: ValidationConfig) -> list[Check]:
    """Whether the served model finds the new text as likely as the text that it was blessed on."""
    if served is None or math.isnan(served.relative_increase):
        return []
    return [
        Check(
            split=TEST,
            feature=f"{served.metric} of the served model, before training",
            value=f"{served.before:.3f} → {served.loss:.3f}, {served.relative_increase:+.0%}",
            bound=f"a rise of at most {config.max_loss_drift:.0%}",
            passed=served.relative_increase <= config.max_loss_drift,
            field="validation.max_loss_drift",
            remedy="find out what changed in the text since the served model was blessed",
        )
    ]


def _drift_checks(fit: Fit, before: Fit, unknown: str, config: ValidationConfig) -> list[Check]:
    rise = fit.unknown_share - before.unknown_share
    growth = fit.tokens_per_word / before.tokens_per_word - 1 if before.tokens_per_word else 0.0
    what_changed = "find out what changed in the text since the last approved span"
    return [
        Check(
            split=_JUDGED_SPLIT,
            feature=f"drift of {unknown}",
            value=f"{before.unknown_share:.1%} → {fit.unknown_share:.1%}",
            bound=f"a rise of at most {config.max_unknown_drift:.1%}",
            passed=rise <= config.max_unknown_drift,
            field="validation.max_unknown_drift",
            remedy=what_changed,
        ),
        Check(
            split=_JUDGED_SPLIT,
            feature="drift of tokens per word",
            value=f"{before.tokens_per_word:.2f} → {fit.tokens_per_word:.2f}, {growth:+.0%}",
            bound=f"a rise of at most {config.max_token_drift:.0%}",
            passed=growth <= config.max_token_drift,
            field="validation.max_token_drift",
            remedy=what_changed,
        ),
    ]
