"""Checkpoints that are whole or not taken, and that no step waits for.

A thread writes them beside the training. A process may be killed while it does, and a disk may lose
what it was given: before a checkpoint is taken every value of it is read, which checks TensorFlow's
checksums, and where it is damaged the one before is taken.
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
    """A number in this process's memory, which checkpoints hold like a variable.

    It is read without waiting for a device.
    """

    def __init__(self, value: float, dtype: type[np.number]) -> None:
        self._value = np.asarray(value, dtype)

    def assign(self, value: Any) -> None:
        """Takes another value."""
        self._value = np.asarray(value, self._value.dtype)  # another array: the old one may be held

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._value, dtype or self._value.dtype)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: belongs to this run alone.
        step: one of the variables; its value is the number of a checkpoint.
        keep: how many whole ones stay beside the one that is being written.
        variables: what a checkpoint holds, in an order that is always the same.

    Attributes:
        folder: as given.
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
        self._variables = {str(place): variable for place, variable in enumerate(variables)}
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._written: concurrent.futures.Future[None] | None = None

    def restore(self) -> int:
        """Takes the newest checkpoint that is whole, if any, and puts those aside that are not.

        Returns:
            Its step, 0 if there is none.

        Raises:
            OSError: a checkpoint can't be opened, which is no damage.
        """
        numbers = self._numbers()
        self.keep_only(numbers)
        for number in numbers:
            if self.restore_step(number):
                return number
            for file in self.folder.glob(f"ckpt-{number}.*"):
                file.replace(file.with_name(f"damaged-{file.name}"))
        return 0

    def restore_step(self, number: int) -> bool:
        """Takes the checkpoint of a step; false, and nothing is taken, if it is not whole.

        Raises:
            OSError: it can't be opened, which is no damage.
        """
        values = self._read(number)
        if values is None:
            return False
        for variable, value in zip(self._variables.values(), values, strict=True):
            variable.assign(value)
        return True

    def whole(self, number: int) -> bool:
        """Whether the checkpoint of a step can be taken, which is said if it can't."""
        return self._read(number) is not None

    def keep_only(self, numbers: Sequence[int]) -> None:
        """Removes all but some steps' checkpoints, and what kills left of others."""
        for file in self.folder.glob("ckpt-*"):
            if file.stem not in {f"ckpt-{number}" for number in numbers}:
                shutil.rmtree(file) if file.is_dir() else file.unlink()

    def save(self, behind: Checkpoints | None = None) -> None:
        """Begins to write a checkpoint; waits for the last one, if that is still being written.

        Args:
            behind: what it has to be there before this one is, as this one tells of it.

        Raises:
            tf.errors.OpError, OSError: the last one could not be written.
        """
        self.close()
        # Of a variable in this memory this is no copy: what changes it afterwards makes a new one.
        with tf.device("CPU"):
            values = [tf.identity(variable) for variable in self._variables.values()]
        number, first = int(self._step), behind._written if behind else None
        self._written = self._writer.submit(self._write, number, values, first)

    def close(self) -> None:
        """Waits until what was begun is written.

        Raises:
            tf.errors.OpError, OSError: it could not be.
        """
        written, self._written = self._written, None
        if written:
            written.result()

    def _read(self, number: int) -> list[np.ndarray] | None:
        for file in self.folder.glob(f"ckpt-{number}.*"):
            file.open("rb").close()  # TensorFlow tells of a file that may not be read as of damage
        try:
            reader = tf.train.load_checkpoint(self._path(number))
            return [reader.get_tensor(name) for name in self._variables]
        except MemoryError:
            raise
        except Exception as error:  # TensorFlow's reader has errors of many kinds for it
            fault = f"{error}".partition("\n")[0][:200]
            _log.warning("the checkpoint of step %d is damaged and is not used: %s", number, fault)
            return None

    def _write(
        self,
        number: int,
        values: Sequence[tf.Tensor],
        first: concurrent.futures.Future[None] | None,
    ) -> None:
        if first:
            first.result()
        older = [each for each in self._numbers() if each < number]
        for each in older[self._keep :]:
            self._remove(each)
        self.folder.mkdir(parents=True, exist_ok=True)
        tf.raw_ops.SaveV2(
            prefix=self._path(number),
            tensor_names=list(self._variables),
            shape_and_slices=[""] * len(values),
            tensors=values,
        )
        # A machine without power forgets what was not asked to be on the disk, all that is kept.
        for path in (*self.folder.glob(f"ckpt-{number}.*"), self.folder):
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _path(self, number: int) -> str:
        return str(self.folder / f"ckpt-{number}")

    def _remove(self, number: int) -> None:
        files = self.folder.glob(f"ckpt-{number}.*")
        for file in sorted(files, reverse=True):  # the index first: without it there is none
            file.unlink()

    def _numbers(self) -> list[int]:
        """Of all checkpoints that are there, the newest first."""
        found = (_INDEX.fullmatch(file.name) for file in self.folder.glob("ckpt-*.index"))
        return sorted((int(match[1]) for match in found if match), reverse=True)
