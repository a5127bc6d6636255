"""ExampleGate: refuses a span whose text does not fit the tokenizer or has nothing to learn.

ExampleBuilder has measured the vocabulary's coverage and counted the labels. `ExampleGate` compares
these with bounds and with the last approved earlier span. If a bound is changed, only the gate runs
again, and no example is made again.
"""

import dataclasses
import json
import logging
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelEvaluation

from components.artifacts import ExamplesApproval
from components.config import ValidationConfig
from components.evaluation.served_model import ServedLoss, served_loss, tokenizer_fingerprint
from components.examples.transforms import load_objective
from components.layout import EXAMPLES_FILE, TEST, TOKENIZER_FOLDER, TRAIN
from components.lineage.span_label import span_label
from components.validation.gate_checks import Check, approve, refuse_if_failed
from models.family import ObjectiveConfig
from models.metric import Metric
from models.objective import FeatureSpec, Labels
from models.registry import FAMILIES
from models.settings import from_json

_JUDGED_SPLIT = TRAIN  # in a smaller split a label may be missing by chance
_NO_FIT_REMEDY = (
    "give a vocabulary of this text's language (vocabulary.file), or learn one (without"
    " vocabulary.file, under another --name); insert spaces between the words of a language that"
    " is written without, such as Thai; or choose a recipe whose tokens are bytes (gpt)"
)
_log = logging.getLogger("polyseme.example_gate")


@dataclasses.dataclass(frozen=True)
class TokenizerFit:
    """How well a tokenizer fits a span's text.

    Attributes:
        unknown_share: share of the text's bytes, without white space, that unknown tokens stand
            for; if the tokenizer `reads_unknown`, the share of the tokens that are unknown.
        tokens_per_word: tokens per word between white space, or per Chinese or Japanese character.
        tokens_per_byte: tokens per byte, without white space.
    """

    unknown_share: float
    tokens_per_word: float
    tokens_per_byte: float

    @classmethod
    def from_coverage(cls, coverage: Mapping[str, int], *, reads_unknown: bool) -> "TokenizerFit":
        """The fit by the counts of `components.examples.tokenization.Coverage`."""
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
    """Approves the training examples of a span, or raises.

    Args:
        examples: ExampleBuilder's, with `examples.json` and the copy of the tokenizer.
        approval: receives `checks.json`, and the tokenizer's fit as properties, if all checks pass.
        family: a name in the registry.
        objective: the objective's settings that the examples depend on, as JSON.
        config: a ValidationConfig as JSON.
        quarantine_dir: receives `span-<label>.ExampleGate.json` if a check fails.
        previous: approval of the last approved earlier span; absent in a first run.
        served_model: the last pushed model, whose loss on this text is measured.
        served_evaluation: the evaluation that the served model was blessed by.

    Raises:
        DataRefused: a check failed; the message has value and bound of each.
    """
    bounds = from_json(ValidationConfig, config)
    folder = pathlib.Path(examples.uri)
    summary = json.loads((folder / EXAMPLES_FILE).read_text(encoding="utf-8"))["splits"]
    built_objective, tokenizer = load_objective(family, objective, str(folder / TOKENIZER_FOLDER))
    tokenizer_key = tokenizer_fingerprint(folder / TOKENIZER_FOLDER)
    previous_fit = _previous_fit(previous, tokenizer_key)
    checks = check_examples(
        summary[_JUDGED_SPLIT],
        built_objective.feature_spec(),
        previous_fit,
        bounds,
        reads_unknown=tokenizer.reads_unknown,
    )
    served = None
    if served_model:
        metric = loss_metric(family, objective)
        evaluation = served_evaluation.uri if served_evaluation else None
        served = served_loss(served_model.uri, evaluation, examples.uri, metric)
        checks += _served_checks(served, bounds)
    evidence = {
        "splits": summary,
        "previous": previous_fit and dataclasses.asdict(previous_fit),
        "served": served and dataclasses.asdict(served),
    }
    refuse_if_failed(
        checks, evidence, gate="ExampleGate", span=examples.span, folder=quarantine_dir
    )
    fit = TokenizerFit.from_coverage(
        summary[_JUDGED_SPLIT]["coverage"], reads_unknown=tokenizer.reads_unknown
    )
    approval.span = examples.span
    approval.tokenizer = tokenizer_key
    for name, value in dataclasses.asdict(fit).items():
        setattr(approval, name, value)
    approve(checks, approval.uri)
    _log.info(
        "span %s: %d checks of the examples passed: %.2f%% of the text unknown, %.2f tokens a word",
        span_label(examples.span),
        len(checks),
        100 * fit.unknown_share,
        fit.tokens_per_word,
    )


def _previous_fit(previous: ExamplesApproval | None, tokenizer_key: str) -> TokenizerFit | None:
    """The fit to the last approved span; None if there is none or its tokenizer was another."""
    if previous is None or previous.tokenizer != tokenizer_key:
        return None
    return TokenizerFit(previous.unknown_share, previous.tokens_per_word, previous.tokens_per_byte)


def check_examples(
    summary: Mapping[str, Any],
    spec: FeatureSpec,
    previous_fit: TokenizerFit | None,
    config: ValidationConfig,
    *,
    reads_unknown: bool,
) -> list[Check]:
    """The checks of the training examples.

    Args:
        summary: the part of `examples.json` about them.
        spec: the schema of the examples.
        previous_fit: the tokenizer's fit to the last approved span; None if there is none or its
            tokenizer was another.
        config: the bounds.
        reads_unknown: whether the model can read unknown words, and only cannot predict them.
    """
    coverage = summary["coverage"]
    fit = TokenizerFit.from_coverage(coverage, reads_unknown=reads_unknown)
    unknown = _unknown_check(summary, fit, config, reads_unknown=reads_unknown)
    checks = [
        unknown,
        Check(
            split=_JUDGED_SPLIT,
            feature="tokens per byte",
            value=f"{fit.tokens_per_byte:.3f}, and {fit.tokens_per_word:.2f} per word",
            bound=f"at most {config.max_tokens_per_byte:g} per byte",
            passed=fit.tokens_per_byte <= config.max_tokens_per_byte,
            field="validation.max_tokens_per_byte",
            remedy=_NO_FIT_REMEDY,
        ),
    ]
    if previous_fit:
        of = "tokens" if reads_unknown else "text"
        checks += _drift_checks(fit, previous_fit, f"{unknown.feature}, of the {of}", config)
    for name, counts in summary["labels"].items():
        labels = spec[name].labels
        if labels is not None and sum(counts):
            checks.append(_label_check(name, labels, counts, config))
    return checks


def _unknown_check(
    summary: Mapping[str, Any], fit: TokenizerFit, config: ValidationConfig, *, reads_unknown: bool
) -> Check:
    """A check of the share of unknown tokens, by tokens or by the text that they stand for."""
    coverage = summary["coverage"]
    share = coverage["unknown_tokens"] / max(coverage["tokens"], 1)
    value = f"{share:.1%} of {coverage['tokens']:,} tokens"
    if reads_unknown:
        feature, field, of = "words that cannot be predicted", "max_unknown_target_share", "tokens"
    else:
        feature, field, of = "unknown tokens", "max_unknown_share", "text"
        value += f", which stand for {fit.unknown_share:.1%} of the text"
    bound = getattr(config, field)
    return Check(
        split=_JUDGED_SPLIT,
        feature=feature,
        value=value,
        bound=f"at most {bound:.1%} of the {of}",
        passed=fit.unknown_share <= bound,
        field=f"validation.{field}",
        examples=[
            f"{document['id']}: {document['unknown_share']:.0%} unknown, {document['start']}"
            for document in summary["worst"]
        ],
        remedy=_NO_FIT_REMEDY,
    )


def _label_check(
    name: str, labels: Labels, counts: Sequence[int], config: ValidationConfig
) -> Check:
    """A check that the rarest label of a feature is frequent enough to learn from."""
    rarest = min(range(len(counts)), key=counts.__getitem__)
    share = counts[rarest] / sum(counts)
    return Check(
        split=_JUDGED_SPLIT,
        feature=name,
        value=f"{counts[rarest]:,} of {sum(counts):,} examples, {share:.1%}, have the label"
        f" {labels.names[rarest]!r}",
        bound=f"at least {config.min_label_share:.1%}",
        passed=share >= config.min_label_share,
        field="validation.min_label_share",
        remedy=labels.remedy,
    )


def loss_metric(family: str, objective: str) -> Metric:
    """The metric by which models are compared: the first of a family.

    Args:
        family: a name in the registry.
        objective: the objective's settings that the examples depend on, as JSON.
    """
    config: ObjectiveConfig = from_json(FAMILIES[family].objective_config, objective)
    return config.metrics()[0]


def _served_checks(served: ServedLoss | None, config: ValidationConfig) -> list[Check]:
    """A check of the served model's loss on the new text, if it could be measured."""
    if served is None or math.isnan(served.relative_increase):
        return []
    return [
        Check(
            split=TEST,
            feature=f"{served.metric} of the served model, before training",
            value=f"{served.before:.3f} → {served.loss:.3f}, {served.relative_increase:+.0%}",
            bound=f"an increase of at most {config.max_loss_drift:.0%}",
            passed=served.relative_increase <= config.max_loss_drift,
            field="validation.max_loss_drift",
            remedy="find out what changed in the text since the served model was blessed",
        )
    ]


def _drift_checks(
    fit: TokenizerFit, previous: TokenizerFit, unknown: str, config: ValidationConfig
) -> list[Check]:
    """Checks of the tokenizer's fit against its fit to the last approved span."""
    increase = fit.unknown_share - previous.unknown_share
    tokens_before = previous.tokens_per_word
    growth = fit.tokens_per_word / tokens_before - 1 if tokens_before else 0.0
    remedy = "find out what changed in the text since the last approved span"
    return [
        Check(
            split=_JUDGED_SPLIT,
            feature=f"drift of {unknown}",
            value=f"{previous.unknown_share:.1%} → {fit.unknown_share:.1%}",
            bound=f"an increase of at most {config.max_unknown_drift:.1%}",
            passed=increase <= config.max_unknown_drift,
            field="validation.max_unknown_drift",
            remedy=remedy,
        ),
        Check(
            split=_JUDGED_SPLIT,
            feature="drift of tokens per word",
            value=f"{tokens_before:.2f} → {fit.tokens_per_word:.2f}, {growth:+.0%}",
            bound=f"an increase of at most {config.max_token_drift:.0%}",
            passed=growth <= config.max_token_drift,
            field="validation.max_token_drift",
            remedy=remedy,
        ),
    ]
