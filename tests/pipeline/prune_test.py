"""What a prune removes, and that it keeps what is served and what later runs need."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Mapping

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from models.errors import ConfigError
from pipeline import prune as prune_module
from pipeline.cli.main import main
from pipeline.metadata.queries import RunHistory
from pipeline.prune import prune
from tests.testdata.recorded_runs import Recorder


class PipelineFolder:
    """A pipeline's folder; each span's training starts from the last pushed model."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / "mine"
        self.recorder = Recorder(self.folder)
        (self.folder / "config.json").write_text("{}")
        self.model: int | None = None

    def artifact(self, kind: str, node: str, number: int, **properties: object) -> int:
        uri = self.folder / "artifacts" / node / kind / str(number)
        uri.mkdir(parents=True)
        (uri / "file").write_bytes(b"x" * 10_000)
        return self.recorder.artifact(kind, uri=uri, **properties)

    def span(self, number: int, *, pushed: bool = True) -> None:
        run = f"run-{number}"
        (self.folder / "logs").mkdir(exist_ok=True)
        (self.folder / "logs" / f"{run}.log").write_text("a log")
        documents = self.artifact("Examples", "TextExampleGen", number)
        self.recorder.execution(run, "TextExampleGen", outputs={"examples": documents})
        statistics = self.artifact("ExampleStatistics", "StatisticsGen", number)
        self.recorder.execution(run, "StatisticsGen", outputs={"statistics": statistics})
        base = {"base_model": self.model} if self.model else {}
        model = self.artifact("Model", "Trainer", number)
        self.recorder.execution(
            run, "Trainer", inputs={"examples": documents, **base}, outputs={"model": model}
        )
        if not pushed:
            return
        self.model = model
        version = self.folder / "serving" / "mine" / str(number)
        version.mkdir(parents=True)
        source = self.folder / "artifacts/Trainer/Model" / str(number) / "file"
        os.link(source, version / "saved_model.pb")
        made = self.artifact(
            "PushedModel",
            "Pusher",
            number,
            pushed=1,
            pushed_version=str(number),
            pushed_destination=str(version),
        )
        self.recorder.execution(
            run, "Pusher", inputs={"model": model}, outputs={"pushed_model": made}
        )

    def present(self) -> Mapping[str, set[int]]:
        found: dict[str, set[int]] = {}
        for path in (self.folder / "artifacts").glob("*/*/*"):
            found.setdefault(path.parts[-3], set()).add(int(path.name))
        for path in (self.folder / "serving" / "mine").glob("[!.]*"):
            found.setdefault("serving", set()).add(int(path.name))
        found["logs"] = {int(path.stem[-1]) for path in (self.folder / "logs").iterdir()}
        return found


@pytest.fixture
def pipeline(tmp_path: pathlib.Path) -> PipelineFolder:
    made = PipelineFolder(tmp_path)
    for number in range(1, 6):
        made.span(number)
    made.span(6, pushed=False)
    return made


KEPT = {
    "TextExampleGen": {4, 5, 6},
    "StatisticsGen": {1, 2, 3, 4, 5, 6},
    "Trainer": {3, 4, 5, 6},  # 3 is what 4 started from
    "Pusher": {4, 5},
    "serving": {4, 5},
    "logs": {4, 5, 6},
}


def test_the_newest_versions_and_their_base_models_are_kept(pipeline: PipelineFolder) -> None:
    pruned = prune(pipeline.folder, 2)
    assert list(pruned.kept) == ["4", "5"]
    assert pipeline.present() == KEPT
    assert [path.name for path in pruned.versions] == ["1", "2", "3"]
    history = RunHistory(pipeline.folder)
    assert len(history.pushed()) == 5  # the records stay: lineage is complete
    live = {artifact.id for artifact in history.present(("Model",))}
    assert len(live) == 4


def test_a_version_that_the_metadata_does_not_record_is_kept(pipeline: PipelineFolder) -> None:
    (pipeline.folder / "serving" / "mine" / "99").mkdir()
    assert [path.name for path in prune(pipeline.folder, 2).versions] == ["1", "2", "3"]
    assert pipeline.present()["serving"] == {4, 5, 99}


def test_with_an_empty_database_nothing_is_removed(pipeline: PipelineFolder) -> None:
    (pipeline.folder / "metadata.sqlite").write_bytes(b"")
    before = pipeline.present()
    with pytest.raises(ConfigError, match="the metadata database is damaged: it is empty"):
        prune(pipeline.folder, 2)
    assert pipeline.present() == before


def test_a_dry_run_removes_nothing_and_returns_the_same(pipeline: PipelineFolder) -> None:
    before = pipeline.present()
    expected = prune(pipeline.folder, 2, dry_run=True)
    assert pipeline.present() == before
    assert prune(pipeline.folder, 2) == expected
    # Documents 1 to 3, models 1 and 2 with their versions, and copies 1 to 3, in blocks of 4,096.
    # Model 3 stays, and so do the bytes of version 3, which has the same files.
    assert expected.bytes == (3 + 2 + 3) * 12_288 + 3 * 4_096


def test_a_second_prune_removes_nothing(pipeline: PipelineFolder) -> None:
    prune(pipeline.folder, 2)
    again = prune(pipeline.folder, 2)
    assert (again.versions, again.artifacts, again.bytes) == ([], [], 0)


@pytest.mark.parametrize("step", range(8))
def test_a_prune_that_was_killed_is_finished_by_the_next_one(
    pipeline: PipelineFolder, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    remove = shutil.rmtree

    def remove_or_die(path: pathlib.Path) -> None:
        nonlocal count
        if count == step:
            raise KeyboardInterrupt
        count += 1
        remove(path)

    monkeypatch.setattr(prune_module.shutil, "rmtree", remove_or_die)
    with pytest.raises(KeyboardInterrupt):
        prune(pipeline.folder, 2)
    monkeypatch.setattr(prune_module.shutil, "rmtree", remove)
    # No artifact that misses files is recorded as live.
    live = {
        artifact.id: pathlib.Path(artifact.uri)
        for artifact in RunHistory(pipeline.folder).present(("Model", "Examples", "PushedModel"))
    }
    assert all(path.is_dir() for path in live.values() if path.name in ("4", "5", "6"))
    prune(pipeline.folder, 2)
    assert pipeline.present() == KEPT


def test_with_few_versions_nothing_is_removed(tmp_path: pathlib.Path) -> None:
    pipeline = PipelineFolder(tmp_path)
    pipeline.span(1)
    before = pipeline.present()
    assert prune(pipeline.folder, 3).bytes == 0
    assert pipeline.present() == before
    with pytest.raises(ConfigError, match="nothing to serve"):
        prune(pipeline.folder, 0)


def test_removed_artifacts_are_recorded_as_deleted(pipeline: PipelineFolder) -> None:
    prune(pipeline.folder, 2)
    store = RunHistory(pipeline.folder)._store
    states = {
        int(pathlib.Path(artifact.uri).name): artifact.state
        for artifact in store.get_artifacts_by_type("Model")
    }
    deleted, live = mlmd.Artifact.DELETED, mlmd.Artifact.LIVE
    assert states == {1: deleted, 2: deleted, 3: live, 4: live, 5: live, 6: live}


def test_the_command_prune_prints_what_it_removes(
    pipeline: PipelineFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(pipeline.folder.parent), "--name", "mine"]
    assert main(["prune", "--keep", "2", "--dry-run", *runs]) == 0
    assert "would be removed, 0.1 MB; versions kept: 4, 5" in capsys.readouterr().out
    assert main(["prune", "--keep", "2", *runs]) == 0
    assert "3 versions, 8 artifacts and 3 logs removed" in capsys.readouterr().out
    assert main(["prune", "--keep", "0", *runs]) == 2
