"""Error messages of commands on pipelines that are missing or damaged."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

import pytest

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from tests.testdata.recorded_runs import Recorder


@pytest.mark.parametrize("command", ["lineage", "spans", "prune", "rollback"])
def test_a_pipeline_that_does_not_exist_is_refused(
    command: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--name", "mine", "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "there is no pipeline 'mine'" in error
    assert str(tmp_path) in error.replace("\n", "")


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A pipeline's folder with two pushed versions."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    recorder = Recorder(folder)
    for version in ("17", "18"):
        pushed = recorder.artifact("PushedModel", pushed=1, pushed_version=version)
        recorder.execution(f"run-{version}", "Pusher", outputs={"pushed_model": pushed})
        (folder / "serving" / "mine" / version).mkdir(parents=True)
        (folder / "serving" / "mine" / version / "saved_model.pb").touch()
    return folder


def _write(name: str, content: bytes) -> Callable[[pathlib.Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _truncate(folder: pathlib.Path) -> None:
    file = folder / "metadata.sqlite"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _folder_for(name: str) -> Callable[[pathlib.Path], None]:
    def damage(folder: pathlib.Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return damage


DATABASE = (
    "report",
    "compare",
    "lineage",
    "spans",
    "prune",
    "rollback",
    "examples",
    "status",
    "run",
)
CONFIG = ("report", "compare", "spans", "status")
LOCK = ("prune", "rollback", "run")
DAMAGES: dict[str, tuple[Callable[[pathlib.Path], None], tuple[str, ...]]] = {
    "an empty database": (_write("metadata.sqlite", b""), DATABASE),
    "a database of garbage": (_write("metadata.sqlite", b"garbage" * 9_999), DATABASE),
    "half a database": (_truncate, DATABASE),
    "a folder for a database": (_folder_for("metadata.sqlite"), DATABASE),
    "an empty configuration": (_write("config.json", b""), CONFIG),
    "a configuration of garbage": (_write("config.json", b"\xff\x00{" * 9_999), CONFIG),
    "a deep configuration": (_write("config.json", b"[" * 200_000), CONFIG),
    "a newer configuration": (_write("config.json", b'{"from_the_future": 1}'), CONFIG),
    "no object for a configuration": (_write("config.json", b"17"), CONFIG),
    "a folder for a configuration": (
        _folder_for("config.json"),
        ("report", "compare", "spans", "run"),
    ),
    "a folder for a lock": (_folder_for("lock"), LOCK),
    "a file for logs": (_write("logs", b"x"), ("run",)),
}
"""Damage → how to do it, and the commands that must report it."""
COMMANDS = {
    "compare": ["mine", "mine"],
    "run": ["bert_tiny", "--input", "{}/mine.txt", "--name", "mine"],
}


@pytest.mark.parametrize(
    ("damage", "command"),
    [(damage, command) for damage, (_, commands) in DAMAGES.items() for command in commands],
)
def test_a_damaged_file_is_reported_on_one_screen(
    damage: str,
    command: str,
    undamaged: pathlib.Path,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(undamaged, tmp_path / "runs" / "mine")
    config = PipelineConfig(name="mine", runs=str(folder.parent)).to_json()
    (folder / "config.json").write_text(config, encoding="utf-8")
    (tmp_path / "mine.txt").write_text("A text.\n")
    DAMAGES[damage][0](folder)
    served = sorted((folder / "serving").rglob("*"))
    arguments = [part.replace("{}", str(tmp_path)) for part in COMMANDS.get(command, [])]
    assert main([command, *arguments, "--runs", str(folder.parent)]) in (1, 2)
    printed = capfd.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) <= 4, printed.err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith(f"  where: {folder}")
    assert lines[2].startswith("  to do: ")
    if command != "run":  # `run` prints first what it is about to do
        assert printed.out == ""
    assert sorted((folder / "serving").rglob("*")) == served
