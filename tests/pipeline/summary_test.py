"""The summary of a run: its steps, its verdict, and what was pushed."""

import json
import pathlib
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.evaluation.bootstrap import Interval
from components.evaluation.judgement import Judgement
from components.evaluation.results import Evaluation, SliceMetrics
from pipeline.metadata.queries import RunHistory
from pipeline.steps import COMPONENTS, steps_until
from pipeline.summary import summarize
from tests.testdata.recorded_runs import Recorder

Execution = mlmd.Execution


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path)


def write(folder: str, name: str, content: Any) -> None:
    path = pathlib.Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_run_whose_gate_failed(recorder: Recorder) -> None:
    documents = recorder.artifact("Examples")
    recorder.execution("a", "TextExampleGen", outputs={"examples": documents})
    recorder.execution("a", "DataGate", Execution.FAILED)
    history = RunHistory(recorder.folder)
    write(
        history.nodes("a")["TextExampleGen"].output("examples").uri,  # type: ignore[union-attr]
        "ingestion.json",
        {
            "splits": {
                "train": {"documents": 1200},
                "eval": {"documents": 0},
                "test": {"documents": 30},
            },
            "quarantined": 2,
        },
    )
    summary = summarize(history, "a")
    steps = {step.component: step for step in summary.steps}
    assert list(steps) == [name for name in COMPONENTS if name not in ("InfraValidator", "Tuner")]
    assert steps["TextExampleGen"].result == "1,200 train + 30 test documents, 2 quarantined"
    assert steps["DataGate"].state == "failed"
    assert steps["Trainer"].state == "not run"
    assert steps["Trainer"].seconds is None
    assert not summary.complete
    assert summary.blessed is None
    assert summary.version is None


def test_a_partial_run_has_the_steps_up_to_its_last_one(recorder: Recorder) -> None:
    for component in steps_until("validation"):
        recorder.execution("a", component)
    history = RunHistory(recorder.folder)
    summary = summarize(history, "a", "validation")
    assert [step.component for step in summary.steps][-2:] == ["TextCleaner", "DataGate"]
    assert summary.complete
    assert (summary.until, summary.version, summary.blessed) == ("validation", None, None)
    assert not summarize(history, "a", "examples").complete
    assert not summarize(history, "a").complete


def record_all_steps(recorder: Recorder, run: str, state: int, *, blessed: int = 1) -> None:
    """Records all steps of a run, with their state, and the verdict on its model."""
    blessing = recorder.artifact("ModelBlessing", blessed=blessed)
    properties: dict[str, Any] = {"pushed": blessed}
    if blessed:
        properties |= {"pushed_version": "17", "pushed_destination": "/s/17"}
    pushed = recorder.artifact("PushedModel", **properties)
    outputs = {"Evaluator": {"blessing": blessing}, "Pusher": {"pushed_model": pushed}}
    for component in COMPONENTS:
        resolvers = (
            "LastApprovedStatistics",
            "TrainedEarlier",
            "LastApprovedExamples",
            "LastBlessedModel",
            "TrainingStart",
        )
        recorded = Execution.CACHED if component in resolvers else state
        recorder.execution(run, component, recorded, outputs=outputs.get(component))


def test_a_run_that_pushed(recorder: Recorder) -> None:
    record_all_steps(recorder, "a", Execution.COMPLETE)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert summary.blessed is True
    assert (summary.version, summary.destination) == ("17", "/s/17")
    assert {step.state for step in summary.steps} == {"done"}
    results = {step.component: step.result for step in summary.steps}
    assert results["Pusher"] == "version 17"
    assert results["LastBlessedModel"] == "none yet"
    assert results["TextExampleGen"] == ""  # its files are gone


def test_the_reason_why_a_blessed_model_was_not_pushed(recorder: Recorder) -> None:
    blessing = recorder.artifact("ModelBlessing", blessed=1)
    pushed = recorder.artifact("PushedModel", pushed=0, reason="it has seen older text")
    recorder.execution("a", "Evaluator", outputs={"blessing": blessing})
    recorder.execution("a", "Pusher", outputs={"pushed_model": pushed})
    summary = summarize(RunHistory(recorder.folder), "a")
    assert (summary.blessed, summary.version) == (True, None)
    assert summary.reasons == ["it has seen older text"]


def test_a_run_whose_steps_were_all_cached(recorder: Recorder) -> None:
    record_all_steps(recorder, "a", Execution.CACHED)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert {step.state for step in summary.steps} == {
        "cached",
        "done",
    }  # resolvers are done
    assert summary.version == "17"


def test_a_run_whose_version_was_rolled_back(recorder: Recorder) -> None:
    record_all_steps(recorder, "a", Execution.CACHED)
    history = RunHistory(recorder.folder)
    (artifact,) = history.pushed()
    history.set_rolled_back(artifact, True)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert (summary.version, summary.rolled_back) == (None, "17")
    assert summary.reasons == ["version 17 was rolled back"]
    assert summary.steps[-1].result == "version 17, rolled back"


def test_a_run_that_was_not_blessed(recorder: Recorder) -> None:
    record_all_steps(recorder, "a", Execution.COMPLETE, blessed=0)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert summary.blessed is False
    assert summary.version is None
    assert summary.steps[-1].result == "not pushed"


def test_metrics_have_intervals_and_the_judgement_is_in_the_summary(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = Judgement(
        metrics={"masked_lm_accuracy": Interval(0.2581, 0.2514, 0.2649)},
        served=None,
        changes={},
        units=8,
        documents=True,
        confidence=0.95,
        reasons=["masked_lm_accuracy is 0.2581 [0.2514, 0.2649]; the lower end has to be …"],
        notes=["loss is not compared"],
    )
    metrics = {"masked_lm_accuracy": 0.2581, "bigram_perplexity": 61.87}
    evaluation = Evaluation(False, [SliceMetrics("overall", 100, metrics, None)], judgement)
    monkeypatch.setattr("components.evaluation.results.read_evaluation", lambda uri: evaluation)
    outputs = {
        "blessing": recorder.artifact("ModelBlessing", blessed=0),
        "evaluation": recorder.artifact("ModelEvaluation"),
    }
    recorder.execution("a", "Evaluator", Execution.COMPLETE, outputs=outputs)
    summary = summarize(RunHistory(recorder.folder), "a")
    (evaluator,) = [step for step in summary.steps if step.component == "Evaluator"]
    assert evaluator.result == "masked lm accuracy 0.258 [0.251, 0.265], bigram perplexity 61.9"
    assert summary.reasons == judgement.reasons
    assert summary.notes == ["loss is not compared"]
    assert summary.metrics == metrics
