"""A run apart from its graph: what it removes, which span it takes, and what it records."""

import contextlib
import dataclasses
import errno
import pathlib
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
from tests.pipeline.small_disk import mounted

_ROOT = pathlib.Path(__file__).parents[2]


def test_incomplete_versions_are_removed_and_complete_ones_kept(tmp_path: pathlib.Path) -> None:
    for name in ("17", "18", "notes"):
        (tmp_path / name / "variables").mkdir(parents=True)
    (tmp_path / "17/saved_model.pb").touch()
    remove_partial_versions(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["17", "notes"]


def test_checkpoints_of_exported_models_are_removed_and_others_kept(tmp_path: pathlib.Path) -> None:
    for name in ("done", "stopped"):
        (tmp_path / "checkpoints" / name / "logs").mkdir(parents=True)
    (tmp_path / "checkpoints" / "done" / "exported").touch()
    remove_checkpoints(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["stopped"]


def test_a_missing_input_is_refused_before_any_folder_is_created(tmp_path: pathlib.Path) -> None:
    config = PipelineConfig(name="mine", runs=str(tmp_path / "runs"))
    for name in ("missing.jsonl", "missing-{SPAN}.jsonl"):
        missing = PipelineConfig.from_json(
            config.to_json().replace('"input": ""', f'"input": "{tmp_path / name}"')
        )
        with pytest.raises(DataRefused):
            run_pipeline(missing, "next")
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
def runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    for day in (1, 2, 3, 4):
        (tmp_path / f"news-2024-05-0{day}.txt").write_text("text")
    return Runs(tmp_path, monkeypatch)


def test_next_skips_spans_that_were_refused_or_not_blessed(runs: Runs) -> None:
    assert runs.take("17") == "2024-05-01"
    assert runs.take(DataRefused("bad text")) == "2024-05-02"
    assert runs.take(None) == "2024-05-03"
    assert runs.take(TrainingDiverged("nan")) == "2024-05-04"
    assert runs.states() == ["pushed", "refused", "not blessed", "failed"]
    assert runs.take("18") == "2024-05-04"  # a span whose run failed is taken again
    count = len(runs.read)
    before = sorted(runs.config.folder.rglob("*"))
    with pytest.raises(NothingNew):
        runs.take("19")
    assert (len(runs.read), sorted(runs.config.folder.rglob("*"))) == (count, before)
    assert runs.take("19", "2024-05-02") == "2024-05-02"
    assert runs.states() == ["pushed", "pushed", "not blessed", "pushed"]


def test_a_span_that_was_not_blessed_is_taken_again_with_other_settings(runs: Runs) -> None:
    runs.take(None)
    runs.config = dataclasses.replace(
        runs.config, training=dataclasses.replace(runs.config.training, steps=7)
    )
    assert runs.take("17") == "2024-05-01"
    assert runs.take("18") == "2024-05-02"


def test_a_span_with_an_unreadable_file_is_refused_and_skipped(
    runs: Runs, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "news-2024-05-01.txt"
    file.write_text("")
    with pytest.raises(DataRefused, match="is empty"):
        runs.take("17")
    assert runs.states()[0] == "refused"
    assert runs.take("17") == "2024-05-02"
    file.write_text("corrected")
    assert runs.take("18") == "2024-05-01"


def test_a_killed_run_is_recorded_as_failed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.run._execute", killed)
    with pytest.raises(KeyboardInterrupt):
        runs.take("17")
    assert runs.states() == ["failed", "new", "new", "new"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (ValueError("Image size of 999999x340 pixels\nis too large"), "ValueError: Image size of"),
        (RuntimeError("\x1b]0;" + "a" * 9_999_999), "RuntimeError: ?]0;aaa"),
    ],
)
def test_a_run_does_not_fail_if_its_report_cannot_be_written(
    runs: Runs, capfd: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    runs.no_report = error
    runs.take("17")
    assert (runs.outcome.error, runs.outcome.report) == (None, None)
    assert exit_code(runs.outcome) == 0
    assert runs.states()[0] == "pushed"
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "the report" in line]
    assert line.startswith(f"the report was not written: {reason}")
    assert f"python -m pipeline report --name mine --runs {runs.config.runs}" in line
    assert len(line) < 600


def test_a_run_does_not_fail_if_checkpoints_cannot_be_removed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "ckpt")

    monkeypatch.setattr("pipeline.run.remove_checkpoints", refuse)
    runs.take("17")
    assert exit_code(runs.outcome) == 0
    assert "checkpoints were not removed: " in capfd.readouterr().out


@pytest.fixture
def small_disk(runs: Runs) -> Iterator[pathlib.Path]:
    """A small disk that contains the folder of runs."""
    with mounted(pathlib.Path(runs.config.runs)) as disk:
        yield disk


def fill(disk: pathlib.Path) -> None:
    with contextlib.suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
        while file.write(b"x" * 4_096):
            pass


def run_on_a_full_disk(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    config = runs.config
    command = ["run", "bert_tiny", "--input", config.ingestion.input, "--name", config.name]
    assert main([*command, "--runs", config.runs]) == 1
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    first, where, remedy = printed.err.splitlines()
    assert first == "error: the disk is full"
    assert where.startswith(f"  where: {config.runs}")
    assert remedy.startswith("  to do: free some space")


def test_a_run_on_a_full_disk_fails_and_succeeds_once_there_is_space(
    runs: Runs, small_disk: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(small_disk)
    run_on_a_full_disk(runs, capfd)
    (small_disk / "filler").unlink()
    assert runs.take("17") == "2024-05-01"
    fill(small_disk)
    before = sorted(runs.config.folder.glob("*"))
    run_on_a_full_disk(runs, capfd)
    assert sorted(runs.config.folder.glob("*")) == before  # no partial file is left
    (small_disk / "filler").unlink()
    assert runs.states()[0] == "pushed"
    assert runs.take("18") == "2024-05-02"


def test_a_disk_that_fills_up_during_a_run_is_reported(
    runs: Runs,
    small_disk: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    execute = run._execute

    def execute_and_fill(*arguments: Any) -> PolysemeError | None:
        fill(small_disk)
        return execute(*arguments)

    monkeypatch.setattr("pipeline.run._execute", execute_and_fill)
    runs.end = "17"
    run_on_a_full_disk(runs, capfd)  # the end of the attempt could not be recorded
    (small_disk / "filler").unlink()
    assert runs.states()[0] == "failed"
    monkeypatch.setattr("pipeline.run._execute", execute)
    assert runs.take("17") == "2024-05-01"
    assert runs.states()[0] == "pushed"
