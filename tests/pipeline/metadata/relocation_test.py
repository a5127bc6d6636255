"""Paths in the metadata of a pipeline whose folder was moved."""

import pathlib

import pytest

from pipeline.metadata.queries import RunHistory
from pipeline.metadata.relocation import relocate
from tests.testdata.recorded_runs import Recorder


@pytest.fixture
def moved(tmp_path: pathlib.Path) -> pathlib.Path:
    """A pipeline's folder that was moved after its run."""
    recorder = Recorder(tmp_path / "old" / "p")
    serving = tmp_path / "old" / "p" / "serving" / "p" / "17"
    serving.mkdir(parents=True)
    (tmp_path / "old" / "p" / "artifacts" / "Trainer" / "model" / "3").mkdir(parents=True)
    model = recorder.artifact("Model", uri=recorder.folder / "artifacts/Trainer/model/3")
    pushed = recorder.artifact(
        "PushedModel", pushed=1, pushed_version="17", pushed_destination=str(serving)
    )
    recorder.execution("a", "Trainer", outputs={"model": model})
    recorder.execution("a", "Pusher", inputs={"model": model}, outputs={"pushed_model": pushed})
    (tmp_path / "old").rename(tmp_path / "new")
    return tmp_path / "new" / "p"


def test_in_a_moved_folder_artifacts_are_where_they_are_now(moved: pathlib.Path) -> None:
    for _ in range(2):  # as readers see it, and once it is written
        nodes = RunHistory(moved).nodes("a")
        model, pushed = nodes["Trainer"].output("model"), nodes["Pusher"].output("pushed_model")
        assert model is not None
        assert pushed is not None
        assert model.uri == str(moved / "artifacts/Trainer/model/3")
        assert pushed.properties["pushed_destination"] == str(moved / "serving/p/17")
        relocate(moved)


def test_a_moved_folder_is_written_once(moved: pathlib.Path) -> None:
    assert relocate(moved) == 2
    assert relocate(moved) == 0
    assert relocate(moved / "nowhere") == 0


def test_what_lies_elsewhere_is_left_alone(tmp_path: pathlib.Path) -> None:
    recorder = Recorder(tmp_path / "p")
    recorder.artifact("Model", uri="/elsewhere/artifacts/Trainer/model/3")  # not here either
    recorder.artifact("Schema", uri="gs://bucket/schema")
    assert relocate(tmp_path / "p") == 0
