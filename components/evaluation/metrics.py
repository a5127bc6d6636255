"""The objective's metrics in TFMA's terms: ratios of sums, their intervals, and how to read them.

TFMA adds sums over the whole evaluation split (law 6), so each metric is weighted by tokens and
does not depend on how examples were batched. It adds them by unit of text, so that the units can be
resampled: the blessing is by intervals (docs/decisions/0030-blessing-by-confidence.md).
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.config import EvaluationConfig
from components.evaluation.judgement import Judgement, from_json, judge, to_json
from components.evaluation.units import UNIT, of_documents, unit_number
from components.serving.export import EVALUATE
from models.objective import Metric

OVERALL = "overall"
"""The name of the slice that holds every example, and the only one that thresholds look at."""
SLICE_KEYS = ("source", "length")
"""String features of the training examples by which figures are also shown."""
_EXAMPLE_COUNT = "example_count"
VERDICT = "verdict"
_JUDGEMENT = "judgement"
_DEFAULTS = EvaluationConfig()


class Verdict(metric_types.Metric):
    """All metrics of an objective, their intervals, and whether the model is blessed.

    The combiner adds the outputs of the evaluated signature by unit of text, for all models at
    once; the metrics and their intervals are made of these sums at the end. A metric of a model
    that lacks an output of it is left out.

    TFMA gets, for each model, every metric under its own name; for the model that is evaluated
    besides, as `judgement`, all that `components.evaluation.judgement` found as JSON, and as
    `verdict` 1.0 if every bound holds, else 0.0.

    Args:
        metrics: the objective's, as dictionaries.
        settings: an `EvaluationConfig`, as a dictionary.
        name: of the number that TFX blesses by.
    """

    def __init__(
        self,
        metrics: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Any],
        name: str = VERDICT,
    ) -> None:
        super().__init__(_computations, metrics=metrics, settings=settings, name=name)


def _computations(
    metrics: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    name: str,
    model_names: list[str] | None = None,
) -> list[metric_types.MetricComputation]:
    """One computation for all models; TFMA names a lone model `""`."""
    models = model_names or [""]
    of_metrics = [Metric(**metric) for metric in metrics]
    return [
        metric_types.MetricComputation(
            keys=[metric_types.MetricKey(name=name, model_name=model) for model in models],
            preprocessors=[
                metric_types.StandardMetricInputsPreprocessor(
                    include_filter={tfma.PREDICTIONS_KEY: {}, tfma.FEATURES_KEY: {UNIT: {}}},
                    include_default_inputs=False,
                )
            ],
            combiner=SumsByUnit(of_metrics, EvaluationConfig(**settings), models),
        )
    ]


class SumsByUnit(beam.CombineFn):
    """Adds every model's outputs in float64, by unit.

    An accumulator is a dictionary: a unit's number → `[models, outputs]`. There are at most
    `UNITS_AT_MOST * PARTS` units, whatever the text: those beyond share a number by a hash, and a
    group of documents is a unit as good as one.

    Args:
        metrics: the objective's.
        settings: confidence and resamples.
        models: their names.
    """

    def __init__(
        self, metrics: Sequence[Metric], settings: EvaluationConfig, models: Sequence[str]
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._models = models
        self._names = sorted({n for each in metrics for n in (each.numerator, each.denominator)})

    def create_accumulator(self) -> dict[int, np.ndarray]:
        """Nothing yet."""
        return {}

    def add_input(self, sums: dict[int, np.ndarray], element: Any) -> dict[int, np.ndarray]:
        """Adds an example to its unit."""
        outputs = element[tfma.PREDICTIONS_KEY]
        if len(self._models) == 1:
            outputs = {self._models[0]: outputs}  # several models: nested by name
        row = np.array(
            [[_number(outputs[model].get(name)) for name in self._names] for model in self._models]
        )
        unit = unit_number(_unit(element))
        sums[unit] = sums[unit] + row if unit in sums else row
        return sums

    def merge_accumulators(self, parts: Iterable[dict[int, np.ndarray]]) -> dict[int, np.ndarray]:
        """Adds the sums of each unit."""
        merged: dict[int, np.ndarray] = {}
        for part in parts:
            for unit, row in part.items():
                merged[unit] = merged[unit] + row if unit in merged else row
        return merged

    def extract_output(
        self, sums: dict[int, np.ndarray]
    ) -> dict[metric_types.MetricKey, float | bytes]:
        """Metrics of each model, the judgement and the verdict."""
        units, documents = of_documents(sums)
        named = {
            model: {name: units[:, place, column] for column, name in enumerate(self._names)}
            for place, model in enumerate(self._models)
        }
        served = named.pop(tfma.BASELINE_KEY, None)
        if served is not None:
            served = {name: column for name, column in served.items() if not _lacks(column)}
        ((candidate, given),) = named.items()
        found = judge(self._metrics, given, served, self._settings, documents=documents)
        output: dict[metric_types.MetricKey, float | bytes] = {}

        def tell(name: str, model: str, value: float | bytes) -> None:
            output[metric_types.MetricKey(name=name, model_name=model)] = value

        for name, each in found.metrics.items():
            tell(name, candidate, each.value)
        for name, value in (found.served or {}).items():
            tell(name, tfma.BASELINE_KEY, value)
        tell(VERDICT, candidate, float(found.blessed))
        tell(_JUDGEMENT, candidate, json.dumps(to_json(found)).encode())
        return output


def _number(output: np.ndarray | None) -> float:
    """An example's sum; -inf, which none can be, for an output that a model does not have."""
    return -math.inf if output is None else float(output.item())


def _lacks(column: np.ndarray) -> bool:
    return bool(np.isneginf(column).any())


def _unit(element: Any) -> bytes:
    """The name that ExampleBuilder gave to the unit of an example."""
    return bytes(np.ravel(element[tfma.FEATURES_KEY][UNIT])[0])


def eval_config(
    metrics: Sequence[Metric], settings: EvaluationConfig = _DEFAULTS
) -> config_pb2.EvalConfig:
    """What TFX's Evaluator computes and demands.

    Bounds hold for the whole split only: a slice may hold three examples. TFX adds the baseline
    itself.

    Args:
        metrics: an objective's.
        settings: confidence and resamples.
    """
    verdict = config_pb2.MetricConfig(
        class_name=Verdict.__name__,
        module=__name__,
        config=json.dumps(
            {
                "name": VERDICT,
                "metrics": [dataclasses.asdict(metric) for metric in metrics],
                "settings": dataclasses.asdict(settings),
            }
        ),
    )
    threshold = config_pb2.MetricThreshold()
    threshold.value_threshold.lower_bound.value = 1.0
    # `threshold` itself would hold for every slice; an empty slicing spec is the whole
    verdict.per_slice_thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(model_type=tfma.TF_GENERIC, signature_name=EVALUATE)],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICE_KEYS),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="ExampleCount"), verdict]
            )
        ],
    )


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
class Evaluation:
    """What the Evaluator found.

    Attributes:
        blessed: every bound was met.
        slices: `overall` first, then by name.
        judgement: the intervals of all examples together, why the model is not blessed, and what
            could not be judged; None if there was no example, or where the evaluation is of code
            that did not find intervals.
    """

    blessed: bool
    slices: Sequence[SliceFigures]
    judgement: Judgement | None

    @property
    def overall(self) -> SliceFigures:
        """The figures over all examples."""
        return self.slices[0]

    @property
    def reasons(self) -> Sequence[str]:
        """Why the model is not blessed, in sentences."""
        if self.blessed:
            return ()
        if not self.overall.examples:
            return ("there is no example to evaluate on",)
        if self.judgement is None:
            return ("a bound was not met, as an earlier version of the code judged it",)
        return self.judgement.reasons


def read_evaluation(uri: str) -> Evaluation:
    """Reads a ModelEvaluation artifact that `eval_config` led to."""
    found = []
    judgement = None
    for record in tfma.load_metrics(uri):
        keys = record.slice_key.single_slice_keys
        name = " ".join(f"{key.column}={_slice_value(key)}" for key in keys) or OVERALL
        models: dict[str, dict[str, float]] = {}
        for item in record.metric_keys_and_values:
            if item.key.is_diff or item.key.name == VERDICT:
                continue
            if item.key.name == _JUDGEMENT:
                if name == OVERALL:
                    judgement = from_json(json.loads(item.value.bytes_value))
                continue
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
    blessed = tfma.load_validation_result(uri).validation_ok
    return Evaluation(blessed, tuple(found), judgement)


def _slice_value(key: Any) -> str:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
