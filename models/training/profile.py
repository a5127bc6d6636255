"""A profile of some training steps by TensorFlow's profiler: the time of each operation."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from models.training.config import PROFILE

_log = logging.getLogger("polyseme.training")

_FIRST, _END = 3, 8  # executions to trace; the first ones compile


class TrainingProfile:
    """Traces the fourth to the eighth execution of a process, if `POLYSEME_PROFILE` is set.

    Args:
        folder: receives `plugins/profile/<time>/`, which TensorBoard's profiler shows.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._requested = bool(os.environ.get(PROFILE))
        self._executions = 0
        self._tracing = False

    @contextlib.contextmanager
    def execution(self, step: int) -> Iterator[None]:
        """Surrounds an execution, of which `step` is the first step."""
        if not self._requested:
            yield
            return
        if self._executions == _FIRST:
            tf.profiler.experimental.start(str(self._folder))
            self._tracing = True
        with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
            yield
        self._executions += 1
        if self._executions == _END:
            self.close()

    def close(self) -> None:
        """Writes the profile; logs a warning if one was requested and training was too short."""
        if self._tracing:
            tf.profiler.experimental.stop()
            self._tracing = False
            _log.info("wrote a profile to %s", self._folder / "plugins" / "profile")
        elif self._requested:
            _log.warning(
                "no profile was written: it starts with execution %d, and this process had %d; "
                "train more steps, or lower devices.steps_per_execution",
                _FIRST + 1,
                self._executions,
            )
        self._requested = False
