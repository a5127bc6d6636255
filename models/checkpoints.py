"""Checkpoints that are whole or not taken, and that no step waits for.

TensorFlow copies the variables and writes them beside the training. A process may be killed while
it does, and a disk may lose what it was given: before a checkpoint is taken every byte of it is
read, which checks TensorFlow's checksums, and where it is damaged the one before is taken.
"""

from __future__ import annotations

import logging
import pathlib
import re
import shutil
from typing import Any

import tensorflow as tf

_log = logging.getLogger("polyseme.training")
_INDEX = re.compile(r"ckpt-(\d+)\.index")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: belongs to this run alone.
        step: int64 variable, steps done; a part of each checkpoint, and its number.
        keep: how many whole ones stay beside the one that is being written.
        parts: trackables, or lists of them, that a checkpoint holds.

    Attributes:
        folder: as given.
    """

    def __init__(self, folder: pathlib.Path, step: tf.Variable, keep: int, **parts: Any) -> None:
        self.folder = folder
        self._step = step
        self._keep = keep
        self._checkpoint = tf.train.Checkpoint(step=step, **parts)
        self._options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)

    def restore(self) -> int:
        """Takes the newest checkpoint that is whole, if any, and removes those that are not.

        Returns:
            Its step, 0 if there is none.
        """
        numbers = self._numbers()
        for file in self.folder.glob("ckpt-*"):
            if file.stem not in {f"ckpt-{number}" for number in numbers}:  # a kill left it
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        for number in numbers:
            if self.restore_step(number):
                return number
            self._remove(number)
        return 0

    def restore_step(self, number: int) -> bool:
        """Takes the checkpoint of a step; false, and nothing is taken, if it is not whole."""
        path = str(self.folder / f"ckpt-{number}")
        fault = _fault(path)
        if fault is not None:
            _log.warning("the checkpoint of step %d is damaged and is not used: %s", number, fault)
            return False
        self._checkpoint.restore(path).assert_consumed()
        return True

    def save(self) -> None:
        """Begins to write a checkpoint; waits for the last one, if that is still being written."""
        path = str(self.folder / f"ckpt-{int(self._step)}")
        self._checkpoint.write(path, options=self._options)
        for number in self._numbers()[self._keep :]:
            self._remove(number)

    def close(self) -> None:
        """Waits until what was begun is written."""
        self._checkpoint.sync()

    def _remove(self, number: int) -> None:
        files = self.folder.glob(f"ckpt-{number}.*")
        for file in sorted(files, reverse=True):  # the index first: without it there is none
            file.unlink()

    def _numbers(self) -> list[int]:
        """Of all checkpoints that are there, the newest first."""
        found = (_INDEX.fullmatch(file.name) for file in self.folder.glob("ckpt-*.index"))
        return sorted((int(match[1]) for match in found if match), reverse=True)


def _fault(path: str) -> str | None:
    """What keeps a checkpoint from being read, if anything does."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow's reader has errors of many kinds for it
        return f"{error}".splitlines()[0][:200]
    return None
