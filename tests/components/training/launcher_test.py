"""The launcher starts training processes, forwards what they report, and leaves none behind."""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import threading
import time

import numpy as np
import pytest

from components.training import launcher
from components.training.launcher import JOB_FILE, train_in_processes
from components.training.train_job import train_job
from models.errors import ConfigError, Preempted
from models.training.config import DevicesConfig
from tests.components.little_job import TRAINING, little_job, write_examples

TWO = DevicesConfig(strategy="multi_worker", processes=2)
SLOW = dataclasses.replace(TRAINING, steps=150, eval_steps=0, checkpoint_seconds=0.1)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.mark.e2e
def test_two_processes_compute_the_same_weights_as_one(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_dropout = json.loads(little_job(tmp_path, examples).model)
    no_dropout["backbone"]["dropout"] = 0.0
    model = json.dumps(no_dropout)
    one = train_job(dataclasses.replace(little_job(tmp_path / "one", examples), model=model))
    job = dataclasses.replace(little_job(tmp_path / "two", examples, devices=TWO), model=model)
    train_in_processes(job, 2)
    assert not (job.folder / JOB_FILE).exists()
    assert (job.folder / "logs" / "training.jsonl").exists()
    assert (job.folder / "logs" / "worker-1" / "training.jsonl").exists()
    complete = dataclasses.replace(job, devices=little_job(tmp_path, examples).devices)
    two = train_job(complete)  # loads the last checkpoint
    assert two.result.resumed_from == 6
    for a, b in zip(one.model.variables, two.model.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=a.path)


@pytest.mark.e2e
def test_an_error_of_a_process_keeps_its_type(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    training = dataclasses.replace(TRAINING, batch_size=7)
    job = little_job(tmp_path, examples, training=training, devices=TWO)
    with pytest.raises(ConfigError, match="a batch of 7 cannot be divided") as caught:
        train_in_processes(job, 2)
    assert caught.value.where == "training.batch_size"


PREEMPTED, FAILED = Preempted("received SIGTERM"), RuntimeError("a training process failed: X")
WRONG = ConfigError("a batch of 7")


@pytest.mark.parametrize(
    ("raised", "codes", "message"),
    [
        ([None, None], [0, 0], None),
        ([PREEMPTED, PREEMPTED], [75, 75], "received SIGTERM"),
        ([PREEMPTED, WRONG], [75, 1], "a batch of 7"),
        ([PREEMPTED, FAILED], [75, 1], "a training process failed: X"),
        ([FAILED, None], [1, None], "a training process failed: X"),
        (
            [FAILED, None],
            [1, -6],
            "a training process failed: X",
        ),  # it aborted because of the first
        ([None, PREEMPTED], [-9, 75], "exit code -9; its last checkpoint is saved"),
        ([FAILED, None], [1, -9], "exit code 1; its last checkpoint is saved"),
        ([None, None], [None, -6], "exit code -6; its last checkpoint is saved"),
        ([None, None], [3, 0], "failed with exit code 3; see its log"),
    ],
)
def test_the_error_that_ended_the_processes_is_raised(raised, codes, message) -> None:  # type: ignore[no-untyped-def]
    if message is None:
        launcher._raise_failure(raised, codes)
        return
    with pytest.raises((Preempted, ConfigError, RuntimeError)) as caught:
        launcher._raise_failure(raised, codes)
    assert message in str(caught.value)
    preempted = "is saved" in message or message == "received SIGTERM"
    assert isinstance(caught.value, Preempted) == preempted


def test_an_unforeseen_error_becomes_a_runtime_error(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    job = little_job(tmp_path, examples)
    lost = dataclasses.replace(job, examples=str(tmp_path / "nowhere"))
    path = tmp_path / JOB_FILE
    path.write_text(json.dumps(dataclasses.asdict(lost)), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"process failed: FileNotFoundError: .*nowhere"):
        launcher.run_processes(path, [{}])


def test_sigterm_after_the_last_step_ends_the_launcher(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = launcher._wait

    def send_sigterm_at_the_end(processes):  # type: ignore[no-untyped-def]
        codes = wait(processes)
        os.kill(os.getpid(), signal.SIGTERM)
        return [0 for _ in codes]

    monkeypatch.setattr(launcher, "_wait", send_sigterm_at_the_end)
    monkeypatch.setattr(launcher.sys, "executable", "true")
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(Preempted, match="received SIGTERM when training was complete"):
            launcher.run_processes(tmp_path / JOB_FILE, [{}])
    finally:
        signal.signal(signal.SIGTERM, before)


HOSTILE = {
    "a library's error line": "os.write(1, b'error: cannot allocate\\n' * 100_000)",
    "forged messages": "os.write(1, b'error: [1]\\nstep 1/2 \\n{\"done\": true}\\n' * 50_000)",
    "not text": "os.write(1, bytes(range(256)) * 10_000); os.write(2, b'\\xff' * 1_000_000)",
    "no line feed": "os.write(1, b'a' * 10_000_000)",
    "a child that is left behind": "os.fork() or (os.setsid(), time.sleep(20), os._exit(0))",
}
"""Python statements with output and actions that must not disturb a training."""


def replace_worker(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Makes the launcher start a program of these lines; its `sender` sends messages."""
    program = folder / "program"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys, time\n"
        f"sys.path.insert(0, {str(pathlib.Path(__file__).parents[3])!r})\n"
        "from components.training.worker_messages import MessageSender\n"
        "sender = MessageSender(int(sys.argv[-1]))\n" + "\n".join(lines)
    )
    program.chmod(0o700)
    monkeypatch.setattr(launcher.sys, "executable", str(program))


@pytest.mark.parametrize("noise", HOSTILE.values(), ids=HOSTILE)
def test_output_of_a_process_neither_hangs_nor_fails_a_training(
    noise: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_RECEIVE_SECONDS", 0.5)
    replace_worker(tmp_path, monkeypatch, noise, "sender.done()")
    began = time.monotonic()
    launcher.run_processes(tmp_path / JOB_FILE, [{}, {}])
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ("pass", RuntimeError, "before training was complete"),
        ("os._exit(0)", RuntimeError, "before training was complete"),
        ("os._exit(3)", RuntimeError, "exit code 3; see its log"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            Preempted,
            "exit code -9; its last checkpoint is saved",
        ),
    ],
)
def test_a_process_that_ends_without_a_message_is_reported(  # type: ignore[no-untyped-def]
    end: str, error: type[Exception], message: str, tmp_path: pathlib.Path, monkeypatch
) -> None:
    replace_worker(tmp_path, monkeypatch, end)
    with pytest.raises(error, match=message):
        launcher.run_processes(tmp_path / JOB_FILE, [{}])


def test_a_process_that_cannot_be_started_leaves_no_other_process_running(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    popen = launcher.subprocess.Popen

    def start(*args, **kwargs):  # type: ignore[no-untyped-def]
        if started:
            raise OSError("no more processes")
        started.append(popen(*args, **kwargs))
        return started[-1]

    replace_worker(tmp_path, monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(launcher.subprocess, "Popen", start)
    with pytest.raises(OSError, match="no more"):
        launcher.run_processes(tmp_path / JOB_FILE, [{}, {}])
    assert started[0].poll() is not None


def test_log_records_of_the_first_process_are_forwarded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_worker(
        tmp_path,
        monkeypatch,
        "import logging",
        "logging.getLogger().addHandler(sender)",
        "logging.warning('step 3/9', extra={'progress': (3, 9)})",
        "sender.done()",
    )
    launcher.run_processes(tmp_path / JOB_FILE, [{}, {}])
    (record,) = [record for record in caplog.records if record.name == "polyseme.training"]
    assert (record.getMessage(), record.progress) == ("step 3/9", (3, 9))


@pytest.mark.e2e
@pytest.mark.one_stack
@pytest.mark.parametrize("victim", [0, 1])
def test_after_a_process_is_killed_training_resumes_from_its_checkpoint(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, victim: int
) -> None:
    job = little_job(tmp_path, examples, training=SLOW, devices=TWO)
    started = []
    popen = launcher.subprocess.Popen

    def start(*args, **kwargs):  # type: ignore[no-untyped-def]
        started.append(popen(*args, **kwargs))
        return started[-1]

    def kill() -> None:
        while not list(job.folder.glob("ckpt-*.index")):
            time.sleep(0.05)
        started[victim].kill()

    monkeypatch.setattr(launcher.subprocess, "Popen", start)
    monkeypatch.setattr(launcher, "_EXIT_SECONDS", 5.0)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Preempted):
        train_in_processes(job, 2)
    killer.join()
    assert all(process.poll() is not None for process in started)
    train_in_processes(job, 2)
    lines = (job.folder / "logs" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 151))


def test_several_workers_need_processes_or_tf_config(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="nothing says which processes") as caught:
        train_in_processes(little_job(tmp_path, examples), 0)
    assert caught.value.where == "devices.processes"


def test_a_job_that_an_earlier_run_left_is_removed(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(path: pathlib.Path, environments: list[dict[str, str]]) -> None:
        seen.append((sorted(tmp_path.glob(f"*/{JOB_FILE}")), environments, path.read_text()))

    monkeypatch.setattr(launcher, "run_processes", run)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / JOB_FILE).write_text("{}")
    job = little_job(tmp_path, examples)
    train_in_processes(job, 2)
    ((jobs, environments, text),) = seen
    assert jobs == [job.folder / JOB_FILE]
    assert json.loads(text)["family"] == "bert"
    first, second = (json.loads(environment["TF_CONFIG"]) for environment in environments)
    assert first["cluster"] == second["cluster"]
    assert len(set(first["cluster"]["worker"])) == 2
    assert [config["task"] for config in (first, second)] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
    ]
    assert not (job.folder / JOB_FILE).exists()
