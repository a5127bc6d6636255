"""Launches the training processes of this machine and waits for them.

TensorFlow's collective operations need a process in which TensorFlow has not been used before, and
all processes of a training end together. So each of them is started for one job only
(components/training/worker.py). It sends its progress and its outcome over a pipe
(components/training/worker_messages.py); what libraries write to its standard output and standard
error goes to this process's log. An unforeseen error of a training process is raised here as a
RuntimeError; its traceback is in the log.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from components.storage.publish import write_whole
from components.training.job import TrainingJob
from components.training.worker_messages import MessageReceiver
from models import errors

JOB_FILE = "job.json"
"""In the folder of a job's checkpoints, while the job is trained by several processes."""
_LOGGER = "polyseme.training"
_EXIT_SECONDS = 60.0  # for the other processes, once one has failed
_RECEIVE_SECONDS = 5.0  # to read the last messages of a process that has exited

_log = logging.getLogger(_LOGGER)


def train_in_processes(job: TrainingJob, count: int) -> None:
    """Trains a job in several processes, and returns when all that were started here are done.

    If several machines train together, each of the others runs `python -m pipeline worker`, which
    finds the job's file in the folder of its checkpoints.

    Args:
        job: the job; all processes must see its files.
        count: number of processes on this machine; 0 for one process, with the other processes
            named in TF_CONFIG.

    Raises:
        PolysemeError: the error of a process, the chief's first.
        Preempted: this process received SIGTERM, or a process was killed.
        RuntimeError: a process failed with an unforeseen error.
    """
    for stale in pathlib.Path(job.checkpoints).glob(f"*/{JOB_FILE}"):
        stale.unlink()
    job.folder.mkdir(parents=True, exist_ok=True)
    path = job.folder / JOB_FILE
    write_whole(path, [json.dumps(dataclasses.asdict(job))])
    try:
        run_processes(path, _environments(count))
    finally:
        path.unlink()


def run_processes(job: pathlib.Path, environments: Sequence[dict[str, str]]) -> None:
    """Runs one process for a job in each environment; see `train_in_processes`.

    Args:
        job: the job's file.
        environments: the variables that each process has in addition to this process's.
    """
    receivers = [MessageReceiver() for _ in environments]
    processes: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    exit_codes: list[int | None] = []
    with _sigterm_forwarded(processes) as signals:
        try:
            for index, environment in enumerate(environments):
                process, pipe = _start(job, environment)
                processes.append(process)
                thread = threading.Thread(
                    target=_receive, args=(receivers[index], pipe, index == 0), daemon=True
                )
                thread.start()
                threads.append(thread)
            exit_codes = _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    for thread in threads:
        thread.join(_RECEIVE_SECONDS)  # a child of the process may hold the pipe open
    _raise_failure([each.error for each in receivers], exit_codes)
    if signals:
        raise errors.Preempted(
            "the process received SIGTERM when training was complete; the last checkpoint is saved",
            remedy="run the same command to resume",
        )
    if not all(each.done for each in receivers):
        raise RuntimeError(
            "a training process exited before training was complete, without an error; see its log"
        )


def _start(
    job: pathlib.Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """Starts a process for a job; returns it with the pipe that it sends messages over."""
    reading_end, writing_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "components.training.worker", str(job), str(writing_end)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,  # the process exits when this pipe is closed
            stdout=2,
            pass_fds=[writing_end],
        )
    except BaseException:
        os.close(reading_end)
        raise
    finally:
        os.close(writing_end)
    return process, open(reading_end, "rb")


def _receive(receiver: MessageReceiver, pipe: BinaryIO, log_records: bool) -> None:
    """Receives the messages of a process; its log records are logged here if `log_records`."""
    for record in receiver.receive(pipe):
        if log_records:
            record.name = _LOGGER
            _log.handle(record)


def _raise_failure(raised: Sequence[Exception | None], exit_codes: Sequence[int | None]) -> None:
    """Raises the error that ended the processes, if there was one.

    An error that a person has to correct comes first. If a process was killed, the errors that the
    other processes met because of that are not raised.

    Args:
        raised: the error that each process sent, if any.
        exit_codes: those before this process killed any; None for a process that still ran.
    """
    for error in raised:
        if isinstance(error, errors.PolysemeError) and not isinstance(error, errors.Preempted):
            raise error
    killed = any(code in (-signal.SIGKILL, -signal.SIGTERM) for code in exit_codes)
    for error in raised:
        if isinstance(error, RuntimeError) and not killed:
            raise error
    for code, error in zip(exit_codes, raised, strict=True):
        if isinstance(error, errors.Preempted):
            raise error
        if code and (code < 0 or killed):
            raise errors.Preempted(
                f"a training process ended with exit code {code}; its last checkpoint is saved",
                where="the run's log, which has the process's messages",
                remedy="run the same command to resume",
            )
    for code in exit_codes:
        if code:
            raise RuntimeError(f"a training process failed with exit code {code}; see its log")


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Waits until all processes have exited, or for some time after the first that failed.

    Returns:
        Their exit codes; None for a process that still runs.
    """
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.returncode for process in processes):
            deadline = time.monotonic() + _EXIT_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return [process.poll() for process in processes]


@contextlib.contextmanager
def _sigterm_forwarded(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Forwards SIGTERM to the processes, which then save a checkpoint and exit.

    Yields:
        A list that holds the signal once it was received.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    before = signal.getsignal(signal.SIGTERM)

    def forward(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, forward)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _environments(count: int) -> list[dict[str, str]]:
    """The variables by which each process of this machine finds the other processes.

    Raises:
        ConfigError: neither `count` nor TF_CONFIG says which processes there are.
    """
    if count == 0:
        if "TF_CONFIG" not in os.environ:
            raise errors.ConfigError(
                "nothing says which processes train together",
                where="devices.processes",
                remedy="set it for processes of this machine, or set the variable TF_CONFIG",
            )
        return [{}]
    with contextlib.ExitStack() as stack:  # all sockets are open at once, so all ports differ
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    return [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(count)
    ]
