"""The command `worker`: a process that takes part in the trainings of another machine's pipeline.

The machine with task index 0 in TF_CONFIG, the chief, runs the pipeline. When it trains it writes a
job file, and the workers wait for such files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import time
from collections.abc import Iterator

from models.errors import ConfigError, Preempted
from models.processor import choose_onednn
from pipeline.layout import CHECKPOINTS
from pipeline.terminal.output import PrintableFormatter

_POLL_SECONDS = 1.0

_log = logging.getLogger("polyseme.worker")


def work(folder: pathlib.Path, *, once: bool = False) -> None:
    """Takes part in each training of a pipeline until the process receives SIGTERM.

    When a training is cut short, the worker rejoins it as soon as the chief resumes it, or at once
    if the chief's job file still exists. Processes with different job files do not train together.

    Args:
        folder: the pipeline's folder, on a file system shared with the chief.
        once: return after the first training that is complete.

    Raises:
        ConfigError: TF_CONFIG is not set, or a job cannot run on this machine.
        Preempted: the process received SIGTERM; the chief has saved the training.
    """
    if "TF_CONFIG" not in os.environ:
        raise ConfigError(
            "nothing says which processes train together",
            where="environment variable TF_CONFIG",
            remedy='set it to {"cluster": {"worker": ["host:port", …]}, '
            '"task": {"type": "worker", "index": 1}}; the chief, index 0, runs the pipeline',
        )
    choose_onednn("training")
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    complete: set[tuple[int, int]] = set()
    with _sigterm_received() as signals:
        while not signals:
            if _join_trainings(folder, complete, signals, once=once):
                return
            time.sleep(_POLL_SECONDS)
    raise Preempted("the process received SIGTERM while it waited for a training")


def _join_trainings(
    folder: pathlib.Path, complete: set[tuple[int, int]], signals: list[int], *, once: bool
) -> bool:
    """Takes part in the trainings that have job files now.

    Args:
        folder: the pipeline's folder.
        complete: identities of the job files whose trainings are complete; new ones are added.
        signals: the signals that were received.
        once: stop after the first training that is complete.

    Returns:
        Whether it stopped because of `once`.
    """
    from components.training.launcher import JOB_FILE, run_processes

    for job in (folder / CHECKPOINTS).glob(f"*/{JOB_FILE}"):
        with contextlib.suppress(FileNotFoundError):  # the chief has removed the job file
            stat = job.stat()
            identity = (stat.st_ino, stat.st_mtime_ns)
            if identity in complete:
                continue
            try:
                run_processes(job, [{}])
            except Preempted as error:
                if signals:
                    raise
                _log.info("%s; waiting for the chief", error.what)
                continue
            complete.add(identity)
            if once:
                return True
    return False


@contextlib.contextmanager
def _sigterm_received() -> Iterator[list[int]]:
    """A list that contains the signal after SIGTERM was received."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
