"""The objective's figures in TFMA's terms: exact ratios of sums, thresholds, and how to read them.

TFMA divides sums over the whole evaluation split (law 6), so each figure is weighted by tokens and
does not depend on how examples were batched.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.exporter import EVALUATE
from models.objective import Metric

OVERALL = "overall"
"""The name of the slice that holds every example, and the only one that thresholds look at."""
SLICE_KEYS = ("source", "length")
"""String features of the training examples by which figures are also shown."""
_EXAMPLE_COUNT = "example_count"
_LARGEST_EXPONENT = 709.0  # exp of more overflows a float64


class Ratio(metric_types.Metric):
    """Σ numerator / Σ denominator, both outputs of the evaluated signature, per example.

    A denominator of zero gives NaN, which meets no threshold.

    Args:
        numerator: name of an output, `[batch]`.
        denominator: likewise.
        name: the figure's name.
    """

    def __init__(self, numerator: str, denominator: str, name: str) -> None:
        super().__init__(_ratio, numerator=numerator, denominator=denominator, name=name)


class ExpRatio(metric_types.Metric):
    """exp(Σ numerator / Σ denominator): perplexity, of a sum of negative log-likelihoods.

    Args:
        numerator: name of an output, `[batch]`.
        denominator: likewise.
        name: the figure's name.
    """

    def __init__(self, numerator: str, denominator: str, name: str) -> None:
        super().__init__(_exp_ratio, numerator=numerator, denominator=denominator, name=name)


def _ratio(
    numerator: str, denominator: str, name: str, model_names: list[str] | None = None
) -> list[metric_types.MetricComputation]:
    return _computations(numerator, denominator, name, model_names, exponentiate=False)


def _exp_ratio(
    numerator: str, denominator: str, name: str, model_names: list[str] | None = None
) -> list[metric_types.MetricComputation]:
    return _computations(numerator, denominator, name, model_names, exponentiate=True)


def _computations(
    numerator: str,
    denominator: str,
    name: str,
    model_names: list[str] | None,
    *,
    exponentiate: bool,
) -> list[metric_types.MetricComputation]:
    """One computation a model; TFMA names a lone model `""`."""
    only_predictions = metric_types.StandardMetricInputsPreprocessor(
        include_filter={tfma.PREDICTIONS_KEY: {}}, include_default_inputs=False
    )
    computations = []
    for model in model_names or [""]:
        key = metric_types.MetricKey(name=name, model_name=model)
        computations.append(
            metric_types.MetricComputation(
                keys=[key],
                preprocessors=[only_predictions],
                combiner=_SumsCombiner(key, numerator, denominator, exponentiate),
            )
        )
    return computations


class _SumsCombiner(beam.CombineFn):
    """Adds numerators and denominators in float64."""

    def __init__(
        self, key: metric_types.MetricKey, numerator: str, denominator: str, exponentiate: bool
    ) -> None:
        self._key = key
        self._numerator = numerator
        self._denominator = denominator
        self._exponentiate = exponentiate

    def create_accumulator(self) -> tuple[float, float]:
        return 0.0, 0.0

    def add_input(self, sums: tuple[float, float], element: Any) -> tuple[float, float]:
        outputs = element[tfma.PREDICTIONS_KEY]
        if self._key.model_name:  # several models: nested by name
            outputs = outputs[self._key.model_name]
        return (
            sums[0] + float(outputs[self._numerator].item()),
            sums[1] + float(outputs[self._denominator].item()),
        )

    def merge_accumulators(self, parts: Iterable[tuple[float, float]]) -> tuple[float, float]:
        numerators, denominators = zip(*parts, strict=True)
        return math.fsum(numerators), math.fsum(denominators)

    def extract_output(self, sums: tuple[float, float]) -> dict[metric_types.MetricKey, float]:
        numerator, denominator = sums
        ratio = numerator / denominator if denominator else math.nan
        if self._exponentiate:
            ratio = math.inf if ratio > _LARGEST_EXPONENT else math.exp(ratio)
        return {self._key: ratio}


def eval_config(metrics: Sequence[Metric]) -> config_pb2.EvalConfig:
    """What TFX's Evaluator computes and demands.

    Bounds hold for the whole split only: a slice may hold three examples. TFX adds the baseline
    itself, and leaves `max_regression` out while there is no blessed model to compare with.

    Args:
        metrics: an objective's figures; one at least has a bound.

    Raises:
        ValueError: no figure has a bound, so that TFX would neither bless nor refuse.
    """
    configured = [config_pb2.MetricConfig(class_name="ExampleCount")]
    for metric in metrics:
        arguments = {"numerator": metric.numerator, "denominator": metric.denominator}
        config = config_pb2.MetricConfig(
            class_name=(ExpRatio if metric.exponentiate else Ratio).__name__,
            module=__name__,
            config=json.dumps({"name": metric.name, **arguments}),
        )
        threshold = _threshold(metric)
        if threshold.ByteSize():
            # `threshold` itself would hold for every slice; an empty slicing spec is the whole
            config.per_slice_thresholds.add(
                slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold
            )
        configured.append(config)
    if not any(config.per_slice_thresholds for config in configured):
        raise ValueError("no metric has a bound: the evaluation could not bless")
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(model_type=tfma.TF_GENERIC, signature_name=EVALUATE)],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICE_KEYS),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=configured)],
    )


def _threshold(metric: Metric) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    if metric.lower_bound is not None:
        threshold.value_threshold.lower_bound.value = metric.lower_bound
    if metric.upper_bound is not None:
        threshold.value_threshold.upper_bound.value = metric.upper_bound
    if metric.max_regression is not None:
        change = threshold.change_threshold
        if metric.higher_is_better:
            change.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
            change.absolute.value = -metric.max_regression
        else:
            change.direction = config_pb2.MetricDirection.LOWER_IS_BETTER
            change.absolute.value = metric.max_regression
    return threshold


@dataclasses.dataclass(frozen=True)
class SliceFigures:
    """The figures of one slice.

    Attributes:
        name: `overall`, or feature and value: `source=sotu`.
        examples: how many examples fell into it.
        candidate: figure by metric, of the model that is evaluated.
        baseline: the last blessed model's, on the same examples; None if there was none.
    """

    name: str
    examples: int
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None


@dataclasses.dataclass(frozen=True)
class Failure:
    """A bound that was not met. `str()` says it in words.

    Attributes:
        metric: its name.
        value: the candidate's figure; None if there was nothing to compute it from.
        kind: which bound.
        bound: its value; for a regression the largest loss allowed.
        baseline: for a regression, the last blessed model's figure.
    """

    metric: str
    value: float | None
    kind: str
    bound: float
    baseline: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.metric} could not be computed: no example to evaluate on"
        if self.baseline is not None:
            return (
                f"{self.metric} is {self.value:.4g}, the last blessed model's {self.baseline:.4g}:"
                f" {abs(self.value - self.baseline):.4g} worse, at most {self.bound:.4g} is allowed"
            )
        side = "below its lower" if self.kind == "lower_bound" else "above its upper"
        return f"{self.metric} is {self.value:.4g}, {side} bound {self.bound:.4g}"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What the Evaluator found.

    Attributes:
        blessed: every bound was met.
        slices: `overall` first, then by name.
        failures: bounds that were not met.
    """

    blessed: bool
    slices: Sequence[SliceFigures]
    failures: Sequence[Failure]

    @property
    def overall(self) -> SliceFigures:
        """The figures over all examples."""
        return self.slices[0]


def read_evaluation(uri: str) -> Evaluation:
    """Reads a ModelEvaluation artifact that `eval_config` led to."""
    found = []
    for record in tfma.load_metrics(uri):
        keys = record.slice_key.single_slice_keys
        name = " ".join(f"{key.column}={_slice_value(key)}" for key in keys) or OVERALL
        models: dict[str, dict[str, float]] = {}
        for item in record.metric_keys_and_values:
            if not item.key.is_diff:
                figures = models.setdefault(item.key.model_name, {})
                figures[item.key.name] = item.value.double_value.value
        baseline = models.pop(tfma.BASELINE_KEY, None)
        (candidate,) = models.values()
        examples = int(candidate.pop(_EXAMPLE_COUNT))
        if baseline is not None:
            del baseline[_EXAMPLE_COUNT]
        found.append(SliceFigures(name, examples, candidate, baseline))
    found.sort(key=lambda figures: (figures.name != OVERALL, figures.name))
    if not found:  # an empty split: TFMA writes no slice at all
        found.append(SliceFigures(OVERALL, 0, {}, None))
    validation = tfma.load_validation_result(uri)
    failures = [
        failure
        for of_slice in validation.metric_validations_per_slice
        for failed in of_slice.failures
        for failure in _failures(failed, found[0])
    ]
    return Evaluation(validation.validation_ok, tuple(found), tuple(failures))


def _slice_value(key: Any) -> str:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _failures(failed: Any, overall: SliceFigures) -> Iterable[Failure]:
    """A failed threshold as the bounds of it that were missed."""
    metric = failed.metric_key.name
    value = overall.candidate.get(metric)
    if failed.metric_threshold.HasField("change_threshold"):
        change = failed.metric_threshold.change_threshold
        before = (overall.baseline or {}).get(metric)
        yield Failure(metric, value, "max_regression", abs(change.absolute.value), before)
        return
    bounds = failed.metric_threshold.value_threshold
    if bounds.HasField("lower_bound") and not (
        value is not None and value >= bounds.lower_bound.value
    ):
        yield Failure(metric, value, "lower_bound", bounds.lower_bound.value)
    if bounds.HasField("upper_bound") and not (
        value is not None and value <= bounds.upper_bound.value
    ):
        yield Failure(metric, value, "upper_bound", bounds.upper_bound.value)
