"""What a run does around its graph: what it removes, which span it takes, what it records."""

import contextlib
import dataclasses
import errno
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from models.errors import DataRefused, PolysemeError, TrainingDiverged
from pipeline import run
from pipeline.cli.exit_codes import exit_code
from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.provenance import Provenance
from pipeline.recipes import bert_tiny
from pipeline.run import remove_checkpoints, remove_partial_versions, run_pipeline
from pipeline.span_history import span_states
from pipeline.spans import NothingNew
from pipeline.summary import Step, Summary

_ROOT = pathlib.Path(__file__).parents[2]


def test_half_pushed_versions_go_and_whole_ones_stay(tmp_path: pathlib.Path) -> None:
    for name in ("17", "18", "notes"):
        (tmp_path / name / "variables").mkdir(parents=True)
    (tmp_path / "17/saved_model.pb").touch()
    remove_partial_versions(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["17", "notes"]


def test_checkpoints_of_exported_models_are_removed_and_others_stay(tmp_path: pathlib.Path) -> None:
    for name in ("done", "stopped"):
        (tmp_path / "checkpoints" / name / "logs").mkdir(parents=True)
    (tmp_path / "checkpoints" / "done" / "exported").touch()
    remove_checkpoints(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["stopped"]


def test_a_missing_input_is_refused_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    config = PipelineConfig(name="mine", runs=str(tmp_path / "runs"))
    for name in ("missing.jsonl", "missing-{SPAN}.jsonl"):
        given = PipelineConfig.from_json(
            config.to_json().replace('"input": ""', f'"input": "{tmp_path / name}"')
        )
        with pytest.raises(DataRefused):
            run_pipeline(given, "next")
    assert not (tmp_path / "runs").exists()


class Runs:
    """Runs of a pipeline without its graph: `end` is how the next run ends."""

    def __init__(self, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tiny = bert_tiny()
        ingestion = dataclasses.replace(tiny.ingestion, input=f"{folder}/news-{{SPAN}}.txt")
        self.config = dataclasses.replace(
            tiny, name="mine", runs=str(folder / "runs"), ingestion=ingestion
        )
        self.read: list[str] = []
        self.end: PolysemeError | str | None = None
        self.no_report: Exception | None = None

        def execute(config: object, provenance: Provenance, *_: object) -> PolysemeError | None:
            self.read.append(provenance.label)
            return self.end if isinstance(self.end, PolysemeError) else None

        def summary(_: object, run_id: str, *__: object) -> Summary:
            version = self.end if isinstance(self.end, str) else None
            step = Step("Pusher", "done", 1.0, "")
            return Summary(run_id, [step], bool(version), ("too bad",), version, None)

        monkeypatch.setattr("pipeline.run._execute", execute)
        monkeypatch.setattr("pipeline.run.summarize", summary)
        monkeypatch.setattr("pipeline.reporting.report_run", self.report)

    def report(self, *_: object) -> pathlib.Path | None:
        if self.no_report:
            raise self.no_report
        return None

    def take(self, end: PolysemeError | str | None, requested: str = "next") -> str:
        """Runs on a span and ends with an error, a pushed version, or None for not blessed."""
        self.end = end
        self.outcome = run_pipeline(self.config, requested)
        return self.read[-1]

    def states(self) -> list[str]:
        return [state.state for state in span_states(self.config.folder, self.config)[0]]


@pytest.fixture
def taken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    for day in (1, 2, 3, 4):
        (tmp_path / f"news-2024-05-0{day}.txt").write_text("text")
    return Runs(tmp_path, monkeypatch)


def test_next_goes_past_a_span_that_was_refused_or_not_blessed_and_ends(taken: Runs) -> None:
    assert taken.take("17") == "2024-05-01"
    assert taken.take(DataRefused("bad text")) == "2024-05-02"
    assert taken.take(None) == "2024-05-03"
    assert taken.take(TrainingDiverged("nan")) == "2024-05-04"
    assert taken.states() == ["pushed", "refused", "not blessed", "failed"]
    assert taken.take("18") == "2024-05-04"  # what failed is tried again
    runs = len(taken.read)
    before = sorted(taken.config.folder.rglob("*"))
    with pytest.raises(NothingNew):
        taken.take("19")
    assert (len(taken.read), sorted(taken.config.folder.rglob("*"))) == (runs, before)
    assert taken.take("19", "2024-05-02") == "2024-05-02"
    assert taken.states() == ["pushed", "pushed", "not blessed", "pushed"]


def test_a_span_that_was_not_blessed_is_not_done(taken: Runs) -> None:
    taken.take(None)
    taken.config = dataclasses.replace(
        taken.config, training=dataclasses.replace(taken.config.training, steps=7)
    )
    assert taken.take("17") == "2024-05-01"
    assert taken.take("18") == "2024-05-02"


def test_a_span_with_a_file_that_cannot_be_read_is_refused_and_next_goes_past_it(
    taken: Runs, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "news-2024-05-01.txt"
    file.write_text("")
    with pytest.raises(DataRefused, match="is empty"):
        taken.take("17")
    assert taken.states()[0] == "refused"
    assert taken.take("17") == "2024-05-02"
    file.write_text("mended")
    assert taken.take("18") == "2024-05-01"


def test_a_run_that_was_killed_has_failed(taken: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.run._execute", killed)
    with pytest.raises(KeyboardInterrupt):
        taken.take("17")
    assert taken.states() == ["failed", "new", "new", "new"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (ValueError("Image size of 999999x340 pixels\nis too large"), "ValueError: Image size of"),
        (RuntimeError("\x1b]0;" + "a" * 9_999_999), "RuntimeError: ?]0;aaa"),
    ],
)
def test_a_report_that_cannot_be_written_fails_no_pushed_run(
    taken: Runs, capfd: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    taken.no_report = error
    taken.take("17")
    assert (taken.outcome.error, taken.outcome.report) == (None, None)
    assert exit_code(taken.outcome) == 0
    assert taken.states()[0] == "pushed"
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "the report" in line]
    assert line.startswith(f"the report was not written: {told}")
    assert f"python -m pipeline report --name mine --runs {taken.config.runs}" in line
    assert len(line) < 600


def test_checkpoints_that_cannot_be_removed_fail_no_pushed_run(
    taken: Runs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "ckpt")

    monkeypatch.setattr("pipeline.run.remove_checkpoints", refuse)
    taken.take("17")
    assert exit_code(taken.outcome) == 0
    assert "checkpoints were not removed: " in capfd.readouterr().out


@pytest.fixture
def small_disk(taken: Runs) -> Iterator[pathlib.Path]:
    """A small disk that contains the folder of runs."""
    disk = pathlib.Path(taken.config.runs)
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: pathlib.Path) -> None:
    with contextlib.suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
        while file.write(b"x" * 4_096):
            pass


def run_on_a_full_disk(taken: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    config = taken.config
    given = ["run", "bert_tiny", "--input", config.ingestion.input, "--name", config.name]
    assert main([*given, "--runs", config.runs]) == 1
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    first, where, remedy = printed.err.splitlines()
    assert first == "error: the disk is full"
    assert where.startswith(f"  where: {config.runs}")
    assert remedy.startswith("  to do: free some space")


@pytest.mark.hostile
def test_a_disk_that_is_full_before_a_run_is_told_and_the_run_goes_on_once_there_is_room(
    taken: Runs, small_disk: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(small_disk)
    run_on_a_full_disk(taken, capfd)
    (small_disk / "filler").unlink()
    assert taken.take("17") == "2024-05-01"
    fill(small_disk)
    before = sorted(taken.config.folder.glob("*"))
    run_on_a_full_disk(taken, capfd)
    assert sorted(taken.config.folder.glob("*")) == before  # no partial file is left
    (small_disk / "filler").unlink()
    assert taken.states()[0] == "pushed"
    assert taken.take("18") == "2024-05-02"


@pytest.mark.hostile
def test_a_disk_that_fills_while_a_run_is_at_work_is_told(
    taken: Runs,
    small_disk: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    execute = run._execute

    def execute_and_fill(*given: Any) -> PolysemeError | None:
        fill(small_disk)
        return execute(*given)

    monkeypatch.setattr("pipeline.run._execute", execute_and_fill)
    taken.end = "17"
    run_on_a_full_disk(taken, capfd)  # the end of the attempt could not be recorded
    (small_disk / "filler").unlink()
    assert taken.states()[0] == "failed"
    monkeypatch.setattr("pipeline.run._execute", execute)
    assert taken.take("17") == "2024-05-01"
    assert taken.states()[0] == "pushed"
