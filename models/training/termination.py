"""SIGTERM during training: the current step is finished and saved before the process ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from models.errors import Preempted


@contextlib.contextmanager
def catch_sigterm() -> Iterator[threading.Event]:
    """Yields an event that is set when SIGTERM arrives; in the block SIGTERM ends no process.

    Only the main thread can handle signals. In other threads the event is never set.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


def preempted(step: int, steps: int) -> Preempted:
    """The error of a training that SIGTERM ended after `step` of `steps` steps."""
    return Preempted(
        f"training received SIGTERM and saved a checkpoint at step {step} of {steps}",
        remedy="run the same command to resume",
    )
