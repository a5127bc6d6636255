"""Training by several processes: those of this machine are started here, others wait for a job.

TensorFlow's collective operations want a process that has done nothing yet, and all processes of a
training end together. So each of them is one of its own, for this job alone. It tells its progress
and its end over a pipe (components/training/worker_messages.py); what libraries write to its
standard output and standard error goes to this process's log. An unforeseen error of a training
process is raised here as a RuntimeError; its traceback is in the log.
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
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from components.storage.publish import write_whole
from components.training.job import TrainingJob, tell, train_job
from components.training.worker_messages import FromProcess, ToStarter
from models import errors
from models.settings import from_json

JOB = "job.json"
_LOG = "polyseme.training"
_END_SECONDS = 60.0  # for the others, once one has ended badly
_LISTEN_SECONDS = 5.0  # to read what an ended process has told

_log = logging.getLogger(_LOG)


def train_in_processes(job: TrainingJob, count: int) -> None:
    """Trains, and comes back when all processes that were started here are done.

    Where several machines train, each of the others runs `python -m pipeline worker`, which finds
    the job in its folder.

    Args:
        job: what is trained, all processes see its files.
        count: processes of this machine; 0: one, and TF_CONFIG tells of the others.

    Raises:
        PolysemeError: what a process has raised, the chief's first.
        Preempted: this process was asked to end, or a process was killed.
        RuntimeError: a process failed in a way that nobody foresaw, which it tells.
    """
    for stale in pathlib.Path(job.checkpoints).glob(f"*/{JOB}"):
        stale.unlink()
    job.folder.mkdir(parents=True, exist_ok=True)
    path = job.folder / JOB
    write_whole(path, [json.dumps(dataclasses.asdict(job))])
    try:
        run_processes(path, _environments(count))
    finally:
        path.unlink()


def run_processes(job: pathlib.Path, environments: Sequence[dict[str, str]]) -> None:
    """Runs a process for a job in each environment; see `train_in_processes`.

    Args:
        job: the job's file.
        environments: what each process has beside this one's own.
    """
    told = [FromProcess() for _ in environments]
    processes: list[subprocess.Popen[bytes]] = []
    listeners: list[threading.Thread] = []
    codes: list[int | None] = []
    with _passed_on(processes) as asked:
        try:
            for place, environment in enumerate(environments):
                process, pipe = _start(job, environment)
                processes.append(process)
                listener = threading.Thread(
                    target=_listen, args=(told[place], pipe, place == 0), daemon=True
                )
                listener.start()
                listeners.append(listener)
            codes = _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    for listener in listeners:
        listener.join(_LISTEN_SECONDS)  # what a process forked may hold its pipe open
    _raise_worst([each.error for each in told], codes)
    if asked:
        raise errors.Preempted(
            "the process was asked to end when training was done; its end is saved",
            remedy="give the same command again to go on from there",
        )
    if not all(each.done for each in told):
        raise RuntimeError(
            "a training process ended before its work was done, without an error; its log may tell"
        )


def _start(
    job: pathlib.Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """A process for a job, and the pipe that it tells of it on."""
    ours, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "components.training.launcher", str(job), str(theirs)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,  # its end tells a process that this one is gone
            stdout=2,
            pass_fds=[theirs],
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return process, open(ours, "rb")


def _listen(told: FromProcess, pipe: BinaryIO, aloud: bool) -> None:
    """Hears a process out; what it logs is logged here if it is to be `aloud`."""
    for record in told.listen(pipe):
        if aloud:
            record.name = _LOG
            _log.handle(record)


def _raise_worst(raised: Sequence[Exception | None], codes: Sequence[int | None]) -> None:
    """Raises what ended the processes, if anything did.

    What a person has to mend comes first. Where a process was killed, what the others met for it is
    no news. `codes` are from before we killed any: None of one that still ran.
    """
    for error in raised:
        if isinstance(error, errors.PolysemeError) and not isinstance(error, errors.Preempted):
            raise error
    killed = any(code in (-signal.SIGKILL, -signal.SIGTERM) for code in codes)
    for error in raised:
        if isinstance(error, RuntimeError) and not killed:
            raise error
    for code, error in zip(codes, raised, strict=True):
        if isinstance(error, errors.Preempted):
            raise error
        if code and (code < 0 or killed):
            raise errors.Preempted(
                f"a training process ended with code {code}; training goes on from its last "
                "checkpoint",
                where="its messages are in the run's log",
                remedy="give the same command again",
            )
    for code in codes:
        if code:
            raise RuntimeError(f"a training process ended with code {code}; its log tells why")


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Until all have ended, or some time after the first that ended badly; gives their codes."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.returncode for process in processes):
            deadline = time.monotonic() + _END_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return [process.poll() for process in processes]


@contextlib.contextmanager
def _passed_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Passes SIGTERM on to the processes, which save and end; holds the signal once it came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    before = signal.getsignal(signal.SIGTERM)

    def pass_on(number: int, frame: types.FrameType | None) -> None:
        came.append(number)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _environments(count: int) -> list[dict[str, str]]:
    """What each process of this machine has in its environment to find the others.

    Raises:
        ConfigError: nothing tells of the others.
    """
    if count == 0:
        if "TF_CONFIG" not in os.environ:
            raise errors.ConfigError(
                "nothing tells which processes train together",
                where="devices.processes",
                remedy="set it for processes of this machine, or the variable TF_CONFIG",
            )
        return [{}]
    with contextlib.ExitStack() as stack:  # all held at once, so that no two are the same
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


def main() -> None:
    """A process of a training; its argument is the job's file."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    starter = ToStarter(int(sys.argv[2]))
    logging.getLogger("polyseme").addHandler(starter)
    logging.getLogger("polyseme").setLevel(logging.INFO)
    try:
        trained = train_job(from_json(TrainingJob, pathlib.Path(sys.argv[1]).read_bytes()))
        tell(trained.result)
        starter.done()
    except errors.PolysemeError as error:
        starter.failed(error)
        sys.exit(75 if isinstance(error, errors.Preempted) else 1)
    except Exception as error:
        traceback.print_exc()
        starter.failed(error)
        sys.exit(1)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
