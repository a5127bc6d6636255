"""The command `worker`: which trainings it joins and rejoins, and how it ends."""

import os
import pathlib
import signal
import threading
import time

import pytest

from components.training import launcher as training_processes
from models.errors import ConfigError, Preempted
from pipeline import worker


@pytest.fixture(name="ran")
def _ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the jobs that were run; a job with the text "is cut short" is preempted."""
    ran: list[str] = []

    def run(job: pathlib.Path, environments: list[dict[str, str]]) -> None:
        assert environments == [{}]
        ran.append(job.read_text())
        if "cut short" in ran[-1]:
            job.unlink()
            job.write_text("is resumed")
            raise Preempted("another process is gone")

    monkeypatch.setenv("TF_CONFIG", "{}")
    monkeypatch.setattr(training_processes, "run_processes", run)
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.01)
    return ran


def write_job(folder: pathlib.Path, text: str) -> None:
    path = folder / "checkpoints" / "key" / "job.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_preempted_job_is_joined_again(tmp_path: pathlib.Path, ran: list[str]) -> None:
    write_job(tmp_path, "is cut short")
    worker.work(tmp_path, once=True)
    assert ran == ["is cut short", "is resumed"]


def test_a_job_whose_process_died_is_joined_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    faults = [Preempted("a training process ended with code -9"), Preempted("it is gone")]

    def run(job: pathlib.Path, environments: list[dict[str, str]]) -> None:
        ran.append(job.read_text())
        if faults:
            raise faults.pop(0)

    monkeypatch.setattr(training_processes, "run_processes", run)
    write_job(tmp_path, "the same")
    worker.work(tmp_path, once=True)
    assert ran == ["the same"] * 3


def test_a_complete_job_is_not_joined_again(tmp_path: pathlib.Path, ran: list[str]) -> None:
    write_job(tmp_path, "first")

    def end() -> None:
        time.sleep(0.3)
        write_job(tmp_path, "second")
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end).start()
    with pytest.raises(Preempted, match="while it waited"):
        worker.work(tmp_path)
    assert ran == ["first", "second"]


def test_without_tf_config_the_worker_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="nothing says which processes") as caught:
        worker.work(tmp_path)
    assert caught.value.where == "environment variable TF_CONFIG"
