"""Rolling a version back: which version is served, and which models later runs start from."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ml_metadata import MetadataStore
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from components.lineage.pushed_models import pushed_versions
from models.errors import ConfigError
from pipeline.cli.main import main
from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE
from pipeline.prune import prune
from pipeline.rollback import RolledBack, roll_back
from pipeline.span_history import Attempt, read_attempts, write_attempt
from tests.testdata.recorded_runs import Recorder


class PipelineFolder:
    """A pipeline's folder with pushed versions, one per span."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "mine"
        self.serving = self.folder / "serving" / "mine"
        self.recorder = Recorder(self.folder)
        (self.folder / "config.json").write_text("{}")
        self.models: dict[int, str] = {}

    def push(self, version: str) -> None:
        model = self.recorder.artifact("Model")
        self.models[model] = version
        (self.serving / version).mkdir(parents=True)
        (self.serving / version / "saved_model.pb").write_text(version)
        made = self.recorder.artifact("PushedModel", pushed=1, pushed_version=version)
        run = f"run-{version}"
        self.recorder.execution(
            run, "Pusher", inputs={"model": model}, outputs={"pushed_model": made}
        )
        attempt = Attempt(run, int(version), version)
        write_attempt(self.folder, dataclasses.replace(attempt, state="pushed", version=version))

    def served(self) -> list[str]:
        return sorted(path.name for path in self.serving.glob("[!.]*"))

    def bases(self) -> set[str]:
        """The versions that a resolver would choose from."""
        database = sqlite_metadata_connection_config(str(self.folder / DATABASE))
        return set(pushed_versions(MetadataStore(database)).values())

    def states(self) -> dict[str, str]:
        return {attempt.version: attempt.state for attempt in read_attempts(self.folder)}


@pytest.fixture
def pipeline(tmp_path: pathlib.Path) -> PipelineFolder:
    made = PipelineFolder(tmp_path)
    for version in ("17", "18", "19"):
        made.push(version)
    return made


def test_the_previous_version_is_served_and_models_start_from_it(pipeline: PipelineFolder) -> None:
    assert pipeline.bases() == {"17", "18", "19"}
    assert roll_back(pipeline.folder, None) == RolledBack("19", served="18")
    assert pipeline.served() == ["17", "18"]
    assert pipeline.bases() == {"17", "18"}
    assert pipeline.states() == {"17": "pushed", "18": "pushed", "19": "rolled back"}
    # Any pushed version can be named.
    assert roll_back(pipeline.folder, "17") == RolledBack("17", served="18")


def test_a_version_can_be_put_back_into_service(pipeline: PipelineFolder) -> None:
    roll_back(pipeline.folder, "18")
    roll_back(pipeline.folder, None)
    assert pipeline.served() == ["17"]
    assert roll_back(pipeline.folder, None, undo=True) == RolledBack("19", served="19")
    assert roll_back(pipeline.folder, "18", undo=True) == RolledBack("18", served="19")
    assert pipeline.bases() == {"17", "18", "19"}
    assert (pipeline.serving / "18" / "saved_model.pb").read_text() == "18"
    assert set(pipeline.states().values()) == {"pushed"}


def test_a_killed_rollback_is_finished_by_the_same_command(
    pipeline: PipelineFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(pipeline.folder, "19")
    assert "19" not in pipeline.bases()  # no later run starts from it
    prune(pipeline.folder, keep=1)
    assert pipeline.served() == ["18", "19"]  # it is not removed
    assert roll_back(pipeline.folder, None) == RolledBack("19", served="18")
    assert roll_back(pipeline.folder, "19") == RolledBack(
        "19", served="18"
    )  # nothing is left to do
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(pipeline.folder, None, undo=True)
    assert roll_back(pipeline.folder, None, undo=True) == RolledBack("19", served="19")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("20",), "version 20 was not pushed"),
        ((None, True), "no version was rolled back"),
    ],
)
def test_a_version_that_cannot_be_rolled_back_is_refused(
    pipeline: PipelineFolder, arguments: tuple, message: str
) -> None:
    version, *undo = arguments
    with pytest.raises(ConfigError, match=message):
        roll_back(pipeline.folder, version, undo=bool(undo))
    assert pipeline.served() == ["17", "18", "19"]


def test_the_last_version_in_service_is_not_rolled_back(pipeline: PipelineFolder) -> None:
    for version in ("19", "18"):
        roll_back(pipeline.folder, version)
    serving = pipeline.folder / "serving" / pipeline.folder.name
    (serving / "9999999999").mkdir()  # no server can load it
    with pytest.raises(ConfigError, match="no version would be left to serve"):
        roll_back(pipeline.folder, None)
    assert pipeline.served() == ["17", "9999999999"]
    assert pipeline.bases() == {"17"}


def test_a_version_whose_files_were_removed_is_not_put_back(pipeline: PipelineFolder) -> None:
    roll_back(pipeline.folder, "17")
    roll_back(pipeline.folder, "19")
    prune(pipeline.folder, keep=1)  # keeps 18 and the newer version that was rolled back
    assert pipeline.served() == ["18"]
    with pytest.raises(ConfigError, match="the files of version 17 were removed"):
        roll_back(pipeline.folder, "17", undo=True)
    assert roll_back(pipeline.folder, "19", undo=True).served == "19"


def test_the_command_rollback_prints_both_versions(
    pipeline: PipelineFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--name", "mine", "--runs", str(pipeline.folder.parent)]
    assert main(["rollback", *options]) == 0
    assert capsys.readouterr().out == "version 19 is rolled back\nserved now: version 18\n"
    (record,) = [a for a in RunHistory(pipeline.folder).pushed() if a.rolled_back]
    assert record.properties["pushed_version"] == "19"
    assert main(["rollback", "--undo", *options]) == 0
    assert capsys.readouterr().out.startswith("version 19 is back in service\n")
