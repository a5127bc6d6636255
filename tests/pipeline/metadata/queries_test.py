"""Queries of runs, steps and artifacts that TFX recorded in ML Metadata."""

import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from models.errors import ConfigError
from pipeline.metadata.queries import RunHistory
from tests.testdata.recorded_runs import Recorder

Execution = mlmd.Execution


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path)


def test_nodes_of_a_run_with_states_parameters_and_artifacts(recorder: Recorder) -> None:
    documents = recorder.artifact("Examples", span=4)
    recorder.execution(
        "run-1", "TextExampleGen", parameters={"span": 4}, outputs={"examples": documents}
    )
    recorder.execution("run-1", "StatisticsGen", Execution.CACHED, inputs={"examples": documents})
    recorder.execution("run-1", "DataGate", Execution.FAILED)
    recorder.execution("run-1", "Trainer", Execution.RUNNING)
    recorder.execution("run-2", "Pusher")

    history = RunHistory(recorder.folder)
    assert history.run_ids() == ["run-1", "run-2"]
    nodes = history.nodes("run-1")
    assert {name: node.state for name, node in nodes.items()} == {
        "TextExampleGen": "done",
        "StatisticsGen": "cached",
        "DataGate": "failed",
        "Trainer": "interrupted",
    }
    assert [node.succeeded for node in nodes.values()] == [True, True, False, False]
    made = nodes["TextExampleGen"].output("examples")
    assert made is not None
    assert (made.id, made.type, made.properties) == (documents, "Examples", {"span": 4})
    assert nodes["TextExampleGen"].parameters == {"span": 4}
    assert (nodes["TextExampleGen"].span_label, made.span_label) == ("4", "4")
    assert nodes["StatisticsGen"].input("examples") == made
    assert nodes["StatisticsGen"].output("statistics") is None
    assert nodes["StatisticsGen"].seconds >= 0
    assert history.nodes("run-3") == {}


@pytest.mark.parametrize(
    ("parameters", "properties", "label"),
    [
        ({}, {}, "2024-05-01"),
        ({}, {"span_label": "2024-05"}, "2024-05"),
        ({"label": "2024-05"}, {}, "2024-05"),
    ],
)
def test_a_date_span_has_a_date_as_label_whichever_release_recorded_it(
    recorder: Recorder, parameters: dict[str, str], properties: dict[str, str], label: str
) -> None:
    documents = recorder.artifact("Examples", span="739007", **properties)
    recorder.execution(
        "a",
        "TextExampleGen",
        parameters={"span": 739007} | parameters,
        outputs={"examples": documents},
    )
    node = RunHistory(recorder.folder).nodes("a")["TextExampleGen"]
    assert node.span_label == label


def test_the_last_note_under_a_name_is_kept_and_is_not_a_run(tmp_path: pathlib.Path) -> None:
    history = RunHistory(tmp_path, create=True)
    assert history.notes("thing") == {}
    history.note("thing", "b", {"text": "first", "number": 1})
    history.note("thing", "a", {"text": ""})
    history.note("thing", "b", {"text": "second"})
    history.note("other", "c", {})
    assert list(history.notes("thing")) == ["b", "a"]
    reopened = RunHistory(tmp_path)
    assert reopened.notes("thing") == {"b": {"text": "second"}, "a": {"text": ""}}
    assert list(reopened.notes("thing")) == ["b", "a"]
    assert reopened.run_ids() == []


def test_pushed_lists_the_models_that_pusher_did_push(recorder: Recorder) -> None:
    history = RunHistory(recorder.folder)
    assert history.pushed() == []
    first = recorder.artifact("PushedModel", pushed=1, pushed_version="17")
    recorder.artifact("PushedModel", pushed=0)
    last = recorder.artifact("PushedModel", pushed=1, pushed_version="18")
    assert [artifact.id for artifact in RunHistory(recorder.folder).pushed()] == [first, last]


def test_the_producer_is_the_step_that_made_an_artifact_and_not_a_cached_one(
    recorder: Recorder,
) -> None:
    model = recorder.artifact("Model")
    made = recorder.execution("a", "Trainer", outputs={"model": model})
    recorder.execution("b", "Trainer", Execution.CACHED, outputs={"model": model})
    history = RunHistory(recorder.folder)
    record = history.nodes("b")["Trainer"].output("model")
    assert record is not None
    assert history.producer(record).id == made


def test_a_folder_without_runs_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="the pipeline has no run yet"):
        RunHistory(tmp_path)


def test_an_empty_database_has_no_runs(recorder: Recorder) -> None:
    history = RunHistory(recorder.folder)
    assert history.run_ids() == []
    assert history.notes("thing") == {}
