"""A trace of some steps, by TensorFlow's profiler: what each operation takes, on each device."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from models.training.config import PROFILE

_log = logging.getLogger("polyseme.training")

_BEGIN, _END = 3, 8  # calls; the first ones compile


class TrainingProfile:
    """Traces the fourth to the eighth call of a process, if that is asked for.

    Args:
        folder: receives `plugins/profile/<time>/`, which TensorBoard's profiler shows.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._wanted = bool(os.environ.get(PROFILE))
        self._calls = 0
        self._at_work = False

    @contextlib.contextmanager
    def call(self, step: int) -> Iterator[None]:
        """A call of steps, of which `step` is the first."""
        if not self._wanted:
            yield
            return
        if self._calls == _BEGIN:
            tf.profiler.experimental.start(str(self._folder))
            self._at_work = True
        with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
            yield
        self._calls += 1
        if self._calls == _END:
            self.close()

    def close(self) -> None:
        """Writes the trace, if one is at work; says so if one was wanted and never begun."""
        if self._at_work:
            tf.profiler.experimental.stop()
            self._at_work = False
            _log.info("a trace of some steps is in %s", self._folder / "plugins" / "profile")
        elif self._wanted:
            _log.warning(
                "no trace was taken: it begins with call %d, and this process made %d; train more "
                "steps, or lower devices.steps_per_execution",
                _BEGIN + 1,
                self._calls,
            )
        self._wanted = False
