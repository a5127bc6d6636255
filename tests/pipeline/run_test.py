"""The lock on a pipeline's folder and what a run tidies before it starts."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from models.errors import ConfigError, DataRefused
from pipeline.config import PipelineConfig
from pipeline.run import locked, remove_partial_versions, run_pipeline

_ROOT = pathlib.Path(__file__).parents[2]
_HOLDER = textwrap.dedent(
    """
    import pathlib, sys, time
    from pipeline.run import locked
    with locked(pathlib.Path(sys.argv[1])):
        print("locked", flush=True)
        time.sleep(60)
    """
)


@pytest.fixture
def holder(tmp_path: pathlib.Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], cwd=_ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_in_use_is_refused_naming_the_process(holder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with (
        pytest.raises(ConfigError, match=f"already in use by process {holder.pid}"),
        locked(tmp_path),
    ):
        pass


def test_a_killed_holder_leaves_no_lock(holder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: pathlib.Path) -> None:
    context = multiprocessing.get_context("fork")
    ended = context.Event()
    with locked(tmp_path):
        worker = context.Process(target=ended.wait)
        worker.start()
    try:
        probe = (
            "import pathlib\nfrom pipeline.run import locked\n"
            f"with locked(pathlib.Path({str(tmp_path)!r})): pass"
        )
        done = subprocess.run([sys.executable, "-c", probe], cwd=_ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr
    finally:
        ended.set()
        worker.join()


def test_half_pushed_versions_go_and_whole_ones_stay(tmp_path: pathlib.Path) -> None:
    for name in ("17", "18", "notes"):
        (tmp_path / name / "variables").mkdir(parents=True)
    (tmp_path / "17/saved_model.pb").touch()
    remove_partial_versions(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["17", "notes"]


def test_a_missing_input_is_refused_before_anything_is_made(tmp_path: pathlib.Path) -> None:
    config = PipelineConfig(name="mine", runs=str(tmp_path / "runs"))
    for name in ("missing.jsonl", "missing-{SPAN}.jsonl"):
        given = PipelineConfig.from_json(
            config.to_json().replace('"input": ""', f'"input": "{tmp_path / name}"')
        )
        with pytest.raises(DataRefused):
            run_pipeline(given, "next")
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot be written"), locked(tmp_path / "mine"):
        pass
