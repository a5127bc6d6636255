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


def test_artifacts_of_a_moved_folder_have_their_current_paths(moved: pathlib.Path) -> None:
    for _ in range(2):  # before and after the paths are corrected in the database
        nodes = RunHistory(moved).nodes("a")
        model, pushed = nodes["Trainer"].output("model"), nodes["Pusher"].output("pushed_model")
        assert model is not None
        assert pushed is not None
        assert model.uri == str(moved / "artifacts/Trainer/model/3")
        assert pushed.properties["pushed_destination"] == str(moved / "serving/p/17")
        relocate(moved)


def test_the_paths_of_a_moved_folder_are_corrected_once(moved: pathlib.Path) -> None:
    assert relocate(moved) == 2
    assert relocate(moved) == 0
    assert relocate(moved / "nowhere") == 0


def test_artifacts_outside_of_the_folder_keep_their_paths(tmp_path: pathlib.Path) -> None:
    recorder = Recorder(tmp_path / "p")
    recorder.artifact("Model", uri="/elsewhere/artifacts/Trainer/model/3")  # not here either
    recorder.artifact("Schema", uri="gs://bucket/schema")
    assert relocate(tmp_path / "p") == 0
