"""Checkpoint files that are written in the background, and read only if they are undamaged.

A process may be killed while it writes, and a disk may lose data. So before a checkpoint is
restored, every value is read, which verifies TensorFlow's checksums. If the checkpoint is damaged,
the one before it is restored.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_log = logging.getLogger("polyseme.training")
_INDEX = re.compile(r"ckpt-(\d+)\.index")


class HostNumber:
    """A number in the host's memory that a checkpoint can hold like a variable.

    Reading it waits for no device.
    """

    def __init__(self, value: float, dtype: type[np.number]) -> None:
        self._value = np.asarray(value, dtype)

    def assign(self, value: Any) -> None:
        """Replaces the value."""
        # By a new array: a checkpoint that is being written may hold the old one.
        self._value = np.asarray(value, self._value.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._value, dtype or self._value.dtype)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)


class Checkpoints:
    """The checkpoints of one run, each named by its step.

    Args:
        folder: belongs to this run alone.
        step: one of the variables; its value is the step of a checkpoint.
        keep: how many complete checkpoints to keep while the next one is being written.
        variables: what a checkpoint holds, in an order that never changes.

    Attributes:
        folder: the folder of the checkpoints.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        step: HostNumber | tf.Variable,
        keep: int,
        variables: Sequence[HostNumber | tf.Variable],
    ) -> None:
        self.folder = folder
        self._step = step
        self._keep = keep
        self._variables = {str(index): variable for index, variable in enumerate(variables)}
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._write_in_progress: concurrent.futures.Future[None] | None = None

    def restore(self) -> int:
        """Restores the newest undamaged checkpoint, and renames damaged ones to `damaged-ckpt-*`.

        Returns:
            Its step, 0 if there is none.

        Raises:
            OSError: a checkpoint cannot be opened, which does not mean that it is damaged.
        """
        steps = self._steps()
        self.keep_only(steps)
        for step in steps:
            if self.restore_step(step):
                return step
            for file in self.folder.glob(f"ckpt-{step}.*"):
                file.replace(file.with_name(f"damaged-{file.name}"))
        return 0

    def restore_step(self, step: int) -> bool:
        """Restores the checkpoint of a step.

        Returns:
            Whether it is undamaged. If not, no variable has changed.

        Raises:
            OSError: it cannot be opened, which does not mean that it is damaged.
        """
        values = self._read(step)
        if values is None:
            return False
        for variable, value in zip(self._variables.values(), values, strict=True):
            variable.assign(value)
        return True

    def readable(self, step: int) -> bool:
        """Whether the checkpoint of a step is there and undamaged; logs a warning if it is not."""
        return self._read(step) is not None

    def keep_only(self, steps: Sequence[int]) -> None:
        """Removes the checkpoints of all other steps, and what killed processes left behind."""
        for file in self.folder.glob("ckpt-*"):
            if file.stem not in {f"ckpt-{step}" for step in steps}:
                shutil.rmtree(file) if file.is_dir() else file.unlink()

    def save(self, after: Checkpoints | None = None) -> None:
        """Starts writing a checkpoint; first waits for the last one, if it is still being written.

        Args:
            after: checkpoints that this one refers to. Their last save is on the disk before this
                checkpoint is written, so that a kill never leaves a reference to a missing file.

        Raises:
            tf.errors.OpError, OSError: the last checkpoint could not be written.
        """
        self.close()
        # On a CPU this copies nothing: a later update makes a new buffer for the variable.
        with tf.device("CPU"):
            values = [tf.identity(variable) for variable in self._variables.values()]
        first = after._write_in_progress if after else None
        self._write_in_progress = self._writer.submit(self._write, int(self._step), values, first)

    def close(self) -> None:
        """Waits until the last checkpoint is written.

        Raises:
            tf.errors.OpError, OSError: it could not be written.
        """
        write, self._write_in_progress = self._write_in_progress, None
        if write:
            write.result()

    def _read(self, step: int) -> list[np.ndarray] | None:
        """The values of a checkpoint; None, with a warning, if it is damaged."""
        for file in self.folder.glob(f"ckpt-{step}.*"):
            file.open("rb").close()  # TensorFlow reports a missing permission as damage
        try:
            reader = tf.train.load_checkpoint(self._path(step))
            return [reader.get_tensor(name) for name in self._variables]
        except MemoryError:
            raise
        except Exception as error:  # TensorFlow's reader reports damage by many types of errors
            fault = f"{error}".partition("\n")[0][:200]
            _log.warning("the checkpoint of step %d is damaged and is not used: %s", step, fault)
            return None

    def _write(
        self,
        step: int,
        values: Sequence[tf.Tensor],
        first: concurrent.futures.Future[None] | None,
    ) -> None:
        if first:
            first.result()
        older = [other for other in self._steps() if other < step]
        for other in older[self._keep :]:
            self._remove(other)
        self.folder.mkdir(parents=True, exist_ok=True)
        tf.raw_ops.SaveV2(
            prefix=self._path(step),
            tensor_names=list(self._variables),
            shape_and_slices=[""] * len(values),
            tensors=values,
        )
        # A power failure may lose files, and names in a folder, that were not synced to the disk.
        for path in (*self.folder.glob(f"ckpt-{step}.*"), self.folder):
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _path(self, step: int) -> str:
        return str(self.folder / f"ckpt-{step}")

    def _remove(self, step: int) -> None:
        files = self.folder.glob(f"ckpt-{step}.*")
        for file in sorted(files, reverse=True):  # first the index, which makes it a checkpoint
            file.unlink()

    def _steps(self) -> list[int]:
        """The steps of all checkpoints in the folder, the newest first."""
        found = (_INDEX.fullmatch(file.name) for file in self.folder.glob("ckpt-*.index"))
        return sorted((int(match[1]) for match in found if match), reverse=True)
