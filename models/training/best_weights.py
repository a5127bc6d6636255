"""Keeps the weights of the evaluation with the lowest held-out loss, which a run ends with."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Sequence

import keras

from models.errors import ConfigError
from models.training.checkpoints import Checkpoints
from models.training.devices import Devices
from models.training.run_state import RunState

_log = logging.getLogger("polyseme.training")


class BestWeights:
    """The best weights of a run so far, as a checkpoint of the model alone.

    Args:
        folder: holds one checkpoint, of step `state.best_step`. The chief writes; all processes
            see it.
        state: the state of the run, restored from the run's checkpoint.
        variables: the variables of the model.
        devices: the processes of the run.

    Attributes:
        checkpoints: the checkpoint. A checkpoint of the run names the best step, so this one must
            be written first.

    Raises:
        ConfigError: the weights of `state.best_step` are missing or damaged.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        state: RunState,
        variables: Sequence[keras.Variable],
        devices: Devices,
    ) -> None:
        self._state = state
        self._devices = devices
        values = [variable.value for variable in variables]
        self.checkpoints = Checkpoints(folder, state.best_step, 1, [state.best_step, *values])
        step = int(state.best_step)
        if devices.chief:
            self.checkpoints.keep_only([step])  # later ones belong to steps that are repeated
            if step and not self.checkpoints.readable(step):
                raise self._missing(step)

    def update(self, held_out_loss: float) -> None:
        """Takes in the evaluation of the current step, and saves the weights if it is the best."""
        if self._state.update_best(held_out_loss) and self._devices.chief:
            self.checkpoints.save()

    def restore(self) -> None:
        """Gives the model its best weights, if it was evaluated.

        Raises:
            ConfigError: the weights are missing or damaged.
        """
        step = int(self._state.best_step)
        if step:
            if not self.checkpoints.restore_step(step):
                raise self._missing(step)
            _log.info("the model has the weights of step %d, which have the lowest held-out loss",
                      step)  # fmt: skip

    def close(self) -> None:
        """Waits until the weights are written."""
        self.checkpoints.close()

    def _missing(self, step: int) -> ConfigError:
        folder = self.checkpoints.folder
        return ConfigError(
            f"the best weights, of step {step}, are missing or damaged",
            where=str(folder),
            remedy=f"remove the folder {folder.parent} and run the same command to train again",
        )
