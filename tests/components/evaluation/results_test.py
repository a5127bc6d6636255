"""Evaluations are read from TFMA's records, including those of older releases."""

from __future__ import annotations

import json
import types
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from components.config import EvaluationConfig
from components.evaluation.judgement import judge, to_json
from components.evaluation.results import Evaluation, SliceMetrics, read_evaluation


def record(slice_value: str, metrics: dict[tuple[str, str], float | bytes]) -> Any:
    """TFMA's record of a slice; `slice_value` is a source, empty for the whole split."""
    made = metrics_for_slice_pb2.MetricsForSlice()
    if slice_value:
        key = made.slice_key.single_slice_keys.add(column="source")
        key.bytes_value = slice_value.encode()
    for (model, name), value in metrics.items():
        item = made.metric_keys_and_values.add()
        item.key.name, item.key.model_name = name, model
        if isinstance(value, bytes):
            item.value.bytes_value = value
        else:
            item.value.double_value.value = value
    return made


def read(monkeypatch: pytest.MonkeyPatch, *records: Any, blessed: bool = False) -> Evaluation:
    validation = types.SimpleNamespace(validation_ok=blessed)
    monkeypatch.setattr(tfma, "load_metrics", lambda uri: records)
    monkeypatch.setattr(tfma, "load_validation_result", lambda uri: validation)
    return read_evaluation("/evaluation")


def test_slices_are_read_with_the_whole_split_first(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = judge([], {}, None, EvaluationConfig())
    judgement = json.dumps(to_json(nothing)).encode()
    candidate, baseline = ("candidate", "loss"), (tfma.BASELINE_KEY, "loss")
    counts = {("candidate", "example_count"): 3.0, (tfma.BASELINE_KEY, "example_count"): 3.0}
    found = read(
        monkeypatch,
        record("sotu", {candidate: 2.0, baseline: 4.0, **counts}),
        record(
            "",
            {
                candidate: 1.0,
                baseline: 5.0,
                ("candidate", "verdict"): 1.0,
                ("candidate", "judgement"): judgement,
                **counts,
            },
        ),
        blessed=True,
    )
    assert found.slices == (
        SliceMetrics("overall", 3, {"loss": 1.0}, {"loss": 5.0}),
        SliceMetrics("source=sotu", 3, {"loss": 2.0}, {"loss": 4.0}),
    )
    assert found.overall == found.slices[0]
    assert found.judgement == nothing
    assert (found.blessed, found.reasons) == (True, ())


def test_an_evaluation_without_examples_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)
    assert found.slices == (SliceMetrics("overall", 0, {}, None),)
    assert found.reasons == ("there is no example to evaluate on",)


def test_an_evaluation_of_an_older_release_has_no_judgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = read(monkeypatch, record("", {("", "loss"): 1.0, ("", "example_count"): 3.0}))
    assert found.slices == (SliceMetrics("overall", 3, {"loss": 1.0}, None),)
    assert found.judgement is None
    assert found.reasons == (
        "a bound was not met; an older release made this evaluation without reasons",
    )
