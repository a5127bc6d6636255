"""The checkpoints that a training run resumes from: when to save one, and which one to restore."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence

import keras

from models.errors import ConfigError
from models.training.checkpoints import Checkpoints
from models.training.config import TrainingConfig
from models.training.devices import Devices
from models.training.run_state import RunState


class RunCheckpoints:
    """Saves and restores a run: its state and all variables of its model and optimizer.

    The chief writes; all processes read.

    Args:
        folder: all processes see it.
        state: the state of the run.
        variables: the variables of the model and the optimizer.
        config: how often to save, and how many checkpoints to keep.
        devices: the processes of the run.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        state: RunState,
        variables: Sequence[keras.Variable],
        config: TrainingConfig,
        devices: Devices,
    ) -> None:
        self._checkpoints = Checkpoints(
            folder,
            state.step,
            config.keep_checkpoints,
            [*state.numbers, *(variable.value for variable in variables)],
        )
        self._interval = config.checkpoint_seconds
        self._devices = devices
        self._saved_at = time.monotonic()

    def restore(self) -> int:
        """Restores the newest undamaged checkpoint that the chief sees, in all processes.

        Returns:
            The step of the checkpoint; 0 if there is none.

        Raises:
            ConfigError: another process cannot read the checkpoint that the chief has read.
        """
        devices = self._devices
        step = devices.broadcast(self._checkpoints.restore() if devices.chief else 0)
        if step and not devices.chief and not self._checkpoints.restore_step(step):
            raise ConfigError(
                f"this process cannot read the checkpoint of step {step}, which the chief has read",
                where=str(self._checkpoints.folder),
                remedy="keep the runs in a folder that all processes see",
            )
        self._saved_at = time.monotonic()
        return step

    @property
    def due(self) -> bool:
        """Whether `checkpoint_seconds` have passed since the last checkpoint."""
        return time.monotonic() - self._saved_at > self._interval

    def save(self, after: Checkpoints) -> None:
        """Starts writing a checkpoint.

        Args:
            after: checkpoints whose last save must be on the disk before this checkpoint is.
        """
        if self._devices.chief:
            self._checkpoints.save(after=after)
        self._saved_at = time.monotonic()

    def close(self) -> None:
        """Waits until the last checkpoint is written."""
        self._checkpoints.close()
