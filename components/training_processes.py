"""Training by several processes: those of this machine are started here, others wait for a job.

TensorFlow's collective operations want a process that has done nothing yet, and all processes of a
training end together. So each of them is one of its own, for this job alone; what it says on its
standard output is our progress, and its last line an error, if there was one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence

from components.training_job import TrainingJob, tell, train_job
from models import errors
from models.config import from_json

JOB = "job.json"
_ERROR = "error: "
_STEP = re.compile(r"step (\d+)/(\d+) ")
_LOG = "polyseme.training"
_END_SECONDS = 60.0  # for the others, once one has ended badly

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
    """
    for stale in pathlib.Path(job.checkpoints).glob(f"*/{JOB}"):
        stale.unlink()
    job.folder.mkdir(parents=True, exist_ok=True)
    path = job.folder / JOB
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    partial.replace(path)
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
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "components.training_processes", str(job)],
            env=os.environ | environment,
            stdin=subprocess.PIPE,  # its end tells a process that this one is gone
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        for environment in environments
    ]
    raised: list[errors.PolysemeError | None] = [None] * len(processes)

    def listen(place: int) -> None:
        for line in processes[place].stdout or ():
            if line.startswith(_ERROR):
                name, what, where, remedy = json.loads(line.removeprefix(_ERROR))
                raised[place] = getattr(errors, name)(what, where=where, remedy=remedy)
            elif place == 0:
                step = _STEP.match(line)
                progress = {"progress": tuple(map(int, step.groups()))} if step else {}
                _log.info("%s", line.rstrip("\n"), extra=progress)

    listeners = [threading.Thread(target=listen, args=(i,)) for i in range(len(processes))]
    for listener in listeners:
        listener.start()
    with _passed_on(processes):
        try:
            _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    for listener in listeners:
        listener.join()
    for error in raised:
        if error is not None and not isinstance(error, errors.Preempted):
            raise error
    for process, error in zip(processes, raised, strict=True):
        if process.returncode:
            raise error or errors.Preempted(
                f"a training process ended with code {process.returncode}; training goes on from "
                "its last checkpoint",
                where="its messages are in the run's log",
                remedy="give the same command again",
            )


def _wait(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Until all have ended, or some time after the first one that ended badly."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.returncode for process in processes):
            deadline = time.monotonic() + _END_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.1)


@contextlib.contextmanager
def _passed_on(processes: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Passes SIGTERM on to the processes, which save and end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.getsignal(signal.SIGTERM)

    def pass_on(number: int, frame: types.FrameType | None) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
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
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger("polyseme").addHandler(handler)
    logging.getLogger("polyseme").setLevel(logging.INFO)
    try:
        trained = train_job(from_json(TrainingJob, pathlib.Path(sys.argv[1]).read_bytes()))
        tell(trained.result)
    except errors.PolysemeError as error:
        told = [type(error).__name__, error.what, error.where, error.remedy]
        sys.stdout.write(f"{_ERROR}{json.dumps(told)}\n")
        sys.stdout.flush()
        sys.exit(75 if isinstance(error, errors.Preempted) else 1)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
