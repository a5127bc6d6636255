"""Where reports and comparisons are written, and reports about a run that is still running."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Iterator

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from models.errors import ConfigError
from pipeline.cli import main as cli
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory
from pipeline.recipes import bert_tiny
from pipeline.reporting import REPORT, compare_runs, last_run, report_run
from pipeline.span_history import Attempt, write_attempt
from pipeline.summary import summarize
from tests.pipeline.held_lock import held_lock
from tests.pipeline.trained_run import record
from tests.testdata.recorded_runs import Recorder


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path / "mine")


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    return dataclasses.replace(bert_tiny(), name="mine", recipe="bert_tiny", runs=str(tmp_path))


def test_the_report_is_written_to_the_pipelines_folder(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    path = report_run(config, history, summarize(history, "a"))
    assert path == recorder.folder / REPORT
    page = path.read_text(encoding="utf-8")
    assert "c0ffee" in page
    assert "no text" in page
    assert "<td>a</td>" in page  # the run's id


def test_the_report_of_a_moved_folder_is_written_there(
    recorder: Recorder, config: PipelineConfig, tmp_path: pathlib.Path
) -> None:
    record(recorder)
    moved = shutil.copytree(recorder.folder, tmp_path / "other" / "mine")
    history = RunHistory(moved)
    assert report_run(config, history, summarize(history, "a")) == moved / REPORT
    assert not (recorder.folder / REPORT).exists()


def test_a_rerun_whose_steps_were_all_cached_has_its_own_report(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    report_run(config, history, summarize(history, "a"))
    for component in ("TextExampleGen", "Trainer"):
        node = history.nodes("a")[component]
        recorder.execution(
            "b",
            component,
            mlmd.Execution.CACHED,
            parameters=node.parameters,
            outputs={name: made[0].id for name, made in node.outputs.items()},
        )
    history = RunHistory(recorder.folder)
    page = report_run(config, history, summarize(history, "b")).read_text(encoding="utf-8")
    assert "<td>b</td>" in page
    assert page.count("<td>cached</td>") == 2


@pytest.fixture
def holder(recorder: Recorder) -> Iterator[None]:
    """Another process that holds the lock of the folder."""
    with held_lock(recorder.folder):
        yield


def start_run(recorder: Recorder, config: PipelineConfig, run_id: str) -> None:
    (recorder.folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    write_attempt(recorder.folder, Attempt(run_id, 1, "1"))


@pytest.mark.usefixtures("holder")
def test_the_report_of_a_running_run_is_a_separate_file(
    recorder: Recorder, config: PipelineConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    record(recorder)
    recorder.execution("a", "Evaluator", mlmd.Execution.RUNNING)
    start_run(recorder, config, "a")
    old = recorder.folder / REPORT
    old.write_text("of the previous run", encoding="utf-8")
    options = ["--name", "mine", "--runs", str(recorder.folder.parent)]
    assert cli.main(["report", *options]) == 0
    printed = capsys.readouterr()
    path = pathlib.Path(printed.out.strip())
    assert path == recorder.folder / "report.running.html"
    assert "run a is still running; report.html is left as it is" in printed.err
    page = path.read_text(encoding="utf-8")
    assert "Still running</span>" in page
    assert "<td>Evaluator</td><td>running</td>" in page
    assert "Interrupted" not in page
    assert old.read_text(encoding="utf-8") == "of the previous run"
    assert cli.main(["compare", "mine", "mine", *options[2:]]) == 0
    assert capsys.readouterr().out.strip().endswith("comparison.running.html")
    assert not (recorder.folder.parent / "comparison.html").exists()


@pytest.mark.usefixtures("holder")
def test_a_run_without_any_step_yet_is_running_too(
    recorder: Recorder, config: PipelineConfig
) -> None:
    record(recorder)
    start_run(recorder, config, "b")
    _, _, summary, is_running = last_run(recorder.folder)
    assert (summary.run_id, is_running) == ("b", True)
    assert {step.state for step in summary.steps} == {"not run"}


def test_the_report_of_an_ended_run_replaces_the_one_while_it_ran(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    start_run(recorder, config, "a")  # killed since: no process holds the lock
    assert last_run(recorder.folder)[3] is False
    path = report_run(config, history, summarize(history, "a"), is_running=True)
    report_run(config, history, summarize(history, "a"))
    assert not path.exists()


def test_a_comparison_is_written_next_to_the_pipelines_folders(
    recorder: Recorder, config: PipelineConfig, tmp_path: pathlib.Path
) -> None:
    record(recorder)
    folder = tmp_path / "mine"
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    found, _, summary, is_running = last_run(folder)
    assert (found, summary.run_id, is_running) == (config, "a", False)
    path = compare_runs([folder, folder])
    assert path == tmp_path / "comparison.html"
    assert path.read_text(encoding="utf-8").count("Metrics of mine, span 2024-05-01") == 2


def test_a_pipeline_that_never_ran_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError, match="the pipeline has no run yet") as error:
        last_run(tmp_path / "new")
    assert str(tmp_path / "new") in (error.value.where or "")
