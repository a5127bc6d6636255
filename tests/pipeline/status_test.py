"""`status`: what is running, how the last run ended, what is served, and which spans are left."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.recipes import bert_tiny
from pipeline.span_history import NOT_BLESSED, PUSHED, Attempt, inputs_of, write_attempt
from pipeline.spans import available_spans
from pipeline.status import LastRun, Running, Status, lines, status_of
from tests.pipeline.held_lock import held_lock
from tests.testdata.recorded_runs import Recorder

_ROOT = pathlib.Path(__file__).parents[2]
RUN = "20240501-173000.000000"


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    for number in (1, 2, 3):
        (tmp_path / f"news-{number}.txt").write_text("text")
    tiny = bert_tiny()
    ingestion = dataclasses.replace(tiny.ingestion, input=f"{tmp_path}/news-{{SPAN}}.txt")
    config = dataclasses.replace(
        tiny, name="mine", runs=str(tmp_path / "runs"), ingestion=ingestion
    )
    config.folder.mkdir(parents=True)
    (config.folder / "config.json").write_text(config.to_json())
    return config


@pytest.fixture
def holder(config: PipelineConfig) -> Iterator[int]:
    """A process that holds the folder's lock; its id."""
    with held_lock(config.folder) as process:
        yield process.pid


def start_attempt(config: PipelineConfig, number: int, run_id: str) -> Attempt:
    """Records that a run on a span has started."""
    span = available_spans(config.ingestion.input)[number - 1]
    started = Attempt(run_id, span.number, span.label, files=1, inputs=inputs_of(span, config))
    write_attempt(config.folder, started)
    return started


def test_a_pipeline_without_a_running_process(config: PipelineConfig) -> None:
    started = start_attempt(config, 1, "20240430-100000.000000")
    write_attempt(config.folder, started.ended(PUSHED, version="17"))
    version = config.folder / "serving" / "mine" / "17"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    started = start_attempt(config, 2, RUN)
    write_attempt(config.folder, started.ended(NOT_BLESSED, "loss is 3"))
    found = status_of(config.folder)
    since = found.last.since if found.last else ""
    assert since.startswith("2024-05-01T17:30:00")
    assert found == Status(
        name="mine",
        folder=str(config.folder),
        running=None,
        last=LastRun(RUN, "2", since, "not blessed", "loss is 3", "", ""),
        served="17",
        spans_left=1,
        next="3",
    )
    assert lines(found) == [
        f"mine  {config.folder}",
        "nothing is running",
        f"last run     span 2, started {since}: not blessed: loss is 3",
        "served       version 17",
        "spans left   1, next 3",
    ]


def test_a_run_that_is_running(config: PipelineConfig, holder: int) -> None:
    started = start_attempt(config, 1, "20240430-100000.000000")
    write_attempt(config.folder, started.ended(PUSHED, version="17"))
    start_attempt(config, 2, RUN)
    recorder = Recorder(config.folder)
    recorder.execution(RUN, "TextExampleGen")
    recorder.execution(RUN, "Trainer", mlmd.Execution.RUNNING)
    log = config.folder / "logs" / f"{RUN}.log"
    log.parent.mkdir()
    log.write_bytes(
        b"2024-05-01 17:30:09,210 I polyseme.training: step 5/400  loss 6.583\n"
        b"2024-05-01 17:30:14,210 I polyseme.training: step 49/400  loss 5.723\n"
        b"2024-05-01 17:30:15,210 I tensorflow: message \xff\n"
    )
    found = status_of(config.folder)
    since = found.running.since if found.running else None
    assert found.running == Running(
        process=holder,
        run=RUN,
        span="2",
        since=since,
        component="Trainer",
        step=49,
        steps=400,
        progress="step 49/400  loss 5.723",
        log=str(log),
    )
    assert found.last is not None
    assert (found.last.outcome, found.last.version) == ("pushed", "17")
    assert (found.served, found.spans_left, found.next) == (None, 1, "3")
    assert lines(found)[1:4] == [
        f"running      span 2, since {since}, process {holder}",
        "  Trainer, step 49 of 400",
        "  step 49/400  loss 5.723",
    ]


def test_a_run_that_was_killed(config: PipelineConfig) -> None:
    start_attempt(config, 1, RUN)
    found = status_of(config.folder)
    assert found.running is None
    assert found.last is not None
    assert found.last.outcome == "killed"
    assert (found.spans_left, found.next) == (3, "1")


def test_another_command_that_is_running(config: PipelineConfig, holder: int) -> None:
    started = start_attempt(config, 1, RUN)
    write_attempt(config.folder, started.ended(PUSHED, version="17"))
    found = status_of(config.folder)
    assert found.running == Running(holder)
    assert lines(found)[1].startswith(f"process {holder} holds the lock: ")


def test_a_first_run_that_reads_its_input(
    config: PipelineConfig, holder: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.folder / "config.json").unlink()
    command = ["status", "--runs", config.runs, "--name", "mine"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["running"]["process"] == holder
    assert (found["last"], found["served"], found["spans_left"]) == (None, None, None)
    assert main([*command[:-1], "other"]) == 2
    assert "no pipeline 'other'" in capsys.readouterr().err


def test_an_input_without_spans_or_without_files(config: PipelineConfig) -> None:
    for name in ("absent.txt", "absent-{SPAN}.txt"):
        ingestion = dataclasses.replace(config.ingestion, input=f"{config.runs}/{name}")
        changed = dataclasses.replace(config, ingestion=ingestion)
        (config.folder / "config.json").write_text(changed.to_json())
        found = status_of(config.folder)
        assert (found.spans_left, found.next) == (0 if "{" in name else None, None)


def test_status_imports_no_tensorflow_and_does_not_take_the_lock(
    config: PipelineConfig, holder: int
) -> None:
    program = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'keras'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    start_attempt(config, 1, RUN)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, "status", "--runs", config.runs],
            cwd=_ROOT,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(rf"^running +span 1, .*process {holder}$", done.stdout, re.M)
    assert (config.folder / "lock").read_text() == str(holder)
    assert holder != os.getpid()
