"""A machine that trains together with others: waits for what the chief's pipeline has to train."""

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

_LOOK_SECONDS = 1.0

_log = logging.getLogger("polyseme.worker")


def work(folder: pathlib.Path, *, once: bool = False) -> None:
    """Takes part in each training of a pipeline, as TF_CONFIG says, until it is asked to end.

    Where a training is cut short it takes part again, as long as the chief's job is there or when
    the chief goes on with it; processes that have different jobs do not train together.

    Args:
        folder: the pipeline's, which the chief sees too.
        once: end with the first training that comes to its end.

    Raises:
        ConfigError: TF_CONFIG is not set, or a job cannot be done here.
        Preempted: the process was asked to end; what was at work is saved by the chief.
    """
    if "TF_CONFIG" not in os.environ:
        raise ConfigError(
            "nothing tells which processes train together",
            where="environment variable TF_CONFIG",
            remedy='set it, as {"cluster": {"worker": ["host:port", …]}, '
            '"task": {"type": "worker", "index": 1}}; the chief, index 0, runs the pipeline',
        )
    choose_onednn("training")
    from components.training.launcher import JOB_FILE, run_processes

    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    done: set[tuple[int, int]] = set()
    with _asked() as asked:
        while not asked:
            for job in (folder / CHECKPOINTS).glob(f"*/{JOB_FILE}"):
                with contextlib.suppress(FileNotFoundError):  # the chief is done with it
                    state = job.stat()
                    if (state.st_ino, state.st_mtime_ns) in done:
                        continue
                    try:
                        run_processes(job, [{}])
                    except Preempted as error:
                        if asked:
                            raise
                        _log.info("%s; waiting for the chief", error.what)
                    else:
                        done.add((state.st_ino, state.st_mtime_ns))
                        if once:
                            return
            time.sleep(_LOOK_SECONDS)
    raise Preempted("the process was asked to end while it waited for a training")


@contextlib.contextmanager
def _asked() -> Iterator[list[int]]:
    """Holds the signal once SIGTERM came."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
