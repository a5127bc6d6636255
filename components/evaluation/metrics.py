"""The objective's metrics as a TFMA metric: ratios of sums with confidence intervals.

TFMA adds sums over the whole evaluation split, so each metric is weighted by tokens and
does not depend on how examples were batched. The sums are added by resampling unit, because the
blessing uses confidence intervals (docs/decisions/0030-blessing-by-confidence.md).
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
from components.evaluation.judgement import judge, to_json
from components.evaluation.resampling_units import UNIT, sums_to_resample, unit_number
from components.layout import EVALUATE_SIGNATURE
from models.metric import Metric

SLICE_KEYS = ("source", "length")
"""String features of the examples; metrics are also computed for each of their values."""
VERDICT = "verdict"
"""Name of the number that TFX blesses by."""
JUDGEMENT = "judgement"
"""Name of the metric that holds the `Judgement` as JSON."""
_DEFAULTS = EvaluationConfig()


class Verdict(metric_types.Metric):
    """All metrics of an objective, their intervals, and whether the model is blessed.

    The combiner adds the outputs of the `evaluate` signature by resampling unit, for all models at
    once, and computes the metrics and their intervals from these sums at the end. A metric is left
    out for a model that lacks an output of it.

    TFMA gets every metric of each model under the metric's own name. For the model that is
    evaluated it also gets `judgement`, the `Judgement` as JSON, and `verdict`, which is 1.0 if
    every bound holds, else 0.0.

    Args:
        metrics: the objective's metrics, as dictionaries.
        settings: an `EvaluationConfig`, as a dictionary.
        name: name of the number that TFX blesses by.
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
    """One computation for all models; TFMA names a single model `""`."""
    models = model_names or [""]
    combiner = SumsByUnit(
        [Metric(**metric) for metric in metrics], EvaluationConfig(**settings), models
    )
    return [
        metric_types.MetricComputation(
            keys=[metric_types.MetricKey(name=name, model_name=model) for model in models],
            preprocessors=[
                metric_types.StandardMetricInputsPreprocessor(
                    include_filter={tfma.PREDICTIONS_KEY: {}, tfma.FEATURES_KEY: {UNIT: {}}},
                    include_default_inputs=False,
                )
            ],
            combiner=combiner,
        )
    ]


class SumsByUnit(beam.CombineFn):
    """Adds every model's outputs by resampling unit, in float64.

    An accumulator is a dictionary from a unit's number to its sums `[models, outputs]`. It holds at
    most `MAX_BLOCKS * PARTS` units, however long the text is: beyond that, units share a number by
    a hash, and a group of documents is as good a unit as a single document.

    Args:
        metrics: the objective's metrics.
        settings: confidence, number of resamples and seed.
        models: the models' names.
    """

    def __init__(
        self, metrics: Sequence[Metric], settings: EvaluationConfig, models: Sequence[str]
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._models = models
        self._outputs = sorted({n for each in metrics for n in (each.numerator, each.denominator)})

    def create_accumulator(self) -> dict[int, np.ndarray]:
        """An accumulator without units."""
        return {}

    def add_input(self, sums: dict[int, np.ndarray], element: Any) -> dict[int, np.ndarray]:
        """Adds an example to its unit."""
        outputs = element[tfma.PREDICTIONS_KEY]
        if len(self._models) == 1:
            outputs = {self._models[0]: outputs}  # several models: nested by name
        row = np.array(
            [
                [_number(outputs[model].get(name)) for name in self._outputs]
                for model in self._models
            ]
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
        """The metrics of each model, the judgement and the verdict."""
        units, documents = sums_to_resample(sums)
        by_model = {
            model: {name: units[:, place, column] for column, name in enumerate(self._outputs)}
            for place, model in enumerate(self._models)
        }
        served = by_model.pop(tfma.BASELINE_KEY, None)
        if served is not None:
            served = {name: column for name, column in served.items() if not _is_missing(column)}
        ((model, candidate),) = by_model.items()
        judgement = judge(self._metrics, candidate, served, self._settings, documents=documents)
        values: dict[tuple[str, str], float | bytes] = {
            (name, model): each.value for name, each in judgement.metrics.items()
        }
        values |= {
            (name, tfma.BASELINE_KEY): value for name, value in (judgement.served or {}).items()
        }
        values[VERDICT, model] = float(judgement.blessed)
        values[JUDGEMENT, model] = json.dumps(to_json(judgement)).encode()
        return {
            metric_types.MetricKey(name=name, model_name=model_name): value
            for (name, model_name), value in values.items()
        }


def _number(output: np.ndarray | None) -> float:
    """An example's sum; -inf, which no sum can be, for an output that the model does not have."""
    return -math.inf if output is None else float(output.item())


def _is_missing(column: np.ndarray) -> bool:
    return bool(np.isneginf(column).any())


def _unit(element: Any) -> bytes:
    """The name that ExampleBuilder gave to the unit of an example."""
    return bytes(np.ravel(element[tfma.FEATURES_KEY][UNIT])[0])


def eval_config(
    metrics: Sequence[Metric], settings: EvaluationConfig = _DEFAULTS
) -> config_pb2.EvalConfig:
    """The configuration of TFX's Evaluator.

    Bounds apply to the whole split only: a slice may hold three examples. TFX adds the baseline
    model itself.

    Args:
        metrics: the objective's metrics.
        settings: confidence, number of resamples and seed.
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
    # `threshold` would apply to every slice; an empty slicing spec is the whole split.
    verdict.per_slice_thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(model_type=tfma.TF_GENERIC, signature_name=EVALUATE_SIGNATURE)
        ],
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
