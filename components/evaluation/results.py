"""Reads the results of TFX's Evaluator: metrics by slice, intervals, and the blessing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluation.judgement import Judgement, from_json
from components.evaluation.metrics import JUDGEMENT, VERDICT

OVERALL = "overall"
"""Name of the slice that holds every example."""
_EXAMPLE_COUNT = "example_count"


@dataclasses.dataclass(frozen=True)
class SliceMetrics:
    """The metrics of one slice of the evaluation text.

    Attributes:
        name: `overall`, or feature and value, such as `source=sotu`.
        examples: number of examples in the slice.
        candidate: metrics by name of the model that is evaluated.
        baseline: metrics of the last blessed model on the same examples; None without such a model.
    """

    name: str
    examples: int
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of an Evaluator.

    Attributes:
        blessed: whether every bound was met.
        slices: `overall` first, then by name.
        judgement: intervals over all examples, the reasons why the model is not blessed, and the
            bounds that were not checked. None if there was no example, or if an older release
            without intervals wrote the evaluation.
    """

    blessed: bool
    slices: Sequence[SliceMetrics]
    judgement: Judgement | None

    @property
    def overall(self) -> SliceMetrics:
        """The metrics over all examples."""
        return self.slices[0]

    @property
    def reasons(self) -> Sequence[str]:
        """Why the model is not blessed, in sentences."""
        if self.blessed:
            return ()
        if not self.overall.examples:
            return ("there is no example to evaluate on",)
        if self.judgement is None:
            return ("a bound was not met; an older release made this evaluation without reasons",)
        return self.judgement.reasons


def read_evaluation(uri: str) -> Evaluation:
    """Reads a ModelEvaluation artifact that was made with `metrics.eval_config`."""
    slices = []
    judgement = None
    for record in tfma.load_metrics(uri):
        keys = record.slice_key.single_slice_keys
        name = " ".join(f"{key.column}={_slice_value(key)}" for key in keys) or OVERALL
        models: dict[str, dict[str, float]] = {}
        for item in record.metric_keys_and_values:
            if item.key.is_diff or item.key.name == VERDICT:
                continue
            if item.key.name == JUDGEMENT:
                if name == OVERALL:
                    judgement = from_json(json.loads(item.value.bytes_value))
                continue
            metrics = models.setdefault(item.key.model_name, {})
            metrics[item.key.name] = item.value.double_value.value
        baseline = models.pop(tfma.BASELINE_KEY, None)
        (candidate,) = models.values()
        examples = int(candidate.pop(_EXAMPLE_COUNT))
        if baseline is not None:
            del baseline[_EXAMPLE_COUNT]
        slices.append(SliceMetrics(name, examples, candidate, baseline))
    slices.sort(key=lambda each: (each.name != OVERALL, each.name))
    if not slices:  # for an empty split, TFMA writes no slice
        slices.append(SliceMetrics(OVERALL, 0, {}, None))
    blessed = tfma.load_validation_result(uri).validation_ok
    return Evaluation(blessed, tuple(slices), judgement)


def _slice_value(key: Any) -> str:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
