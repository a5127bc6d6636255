"""Training by several processes: those of this machine are started here, others wait for a job.

TensorFlow's collective operations want a process that has done nothing yet, and all processes of a
training end together. So each of them is one of its own, for this job alone; what it says on its
standard output is our progress, and its last line an error, if there was one. An error that nobody
foresaw is none of ours: as from one process it comes as a RuntimeError, its trace in the log.
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
import traceback
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
        RuntimeError: a process failed in a way that nobody foresaw, which it tells.
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
    raised: list[Exception | None] = [None] * len(processes)

    def listen(place: int) -> None:
        for line in processes[place].stdout or ():
            if line.startswith(_ERROR):
                name, what, where, remedy = json.loads(line.removeprefix(_ERROR))
                raised[place] = (
                    getattr(errors, name)(what, where=where, remedy=remedy)
                    if name
                    else RuntimeError(f"a training process failed: {what}")
                )
            elif place == 0:
                step = _STEP.match(line)
                progress = {"progress": tuple(map(int, step.groups()))} if step else {}
                _log.info("%s", line.rstrip("\n"), extra=progress)

    listeners = [threading.Thread(target=listen, args=(i,)) for i in range(len(processes))]
    for listener in listeners:
        listener.start()
    codes: list[int | None] = []
    with _passed_on(processes) as asked:
        try:
            codes = _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    for listener in listeners:
        listener.join()
    _raise_worst(raised, codes)
    if asked:
        raise errors.Preempted(
            "the process was asked to end when training was done; its end is saved",
            remedy="give the same command again to go on from there",
        )


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


def _wait(processes: Sequence[subprocess.Popen[str]]) -> list[int | None]:
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
def _passed_on(processes: Sequence[subprocess.Popen[str]]) -> Iterator[list[int]]:
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
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger("polyseme").addHandler(handler)
    logging.getLogger("polyseme").setLevel(logging.INFO)
    try:
        trained = train_job(from_json(TrainingJob, pathlib.Path(sys.argv[1]).read_bytes()))
        tell(trained.result)
    except errors.PolysemeError as error:
        _say(type(error).__name__, error.what, error.where, error.remedy)
        sys.exit(75 if isinstance(error, errors.Preempted) else 1)
    except Exception as error:
        traceback.print_exc()
        _say("", f"{type(error).__name__}: {error}", None, None)
        sys.exit(1)


def _say(name: str, what: str, where: str | None, remedy: str | None) -> None:
    """Tells the process that started this one of an error; no name: none of ours."""
    sys.stdout.write(f"{_ERROR}{json.dumps([name, what, where, remedy])}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
