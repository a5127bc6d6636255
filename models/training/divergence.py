"""Stops a training whose loss is not finite or has risen too far, and keeps the batch."""

from __future__ import annotations

import collections
import math
import pathlib
from collections.abc import Mapping

import numpy as np

from models.errors import TrainingDiverged
from models.training.checkpoints import HostNumber
from models.training.devices import Features

_MEAN_STEPS = 10


class DivergenceDetector:
    """Checks the metrics of every step.

    A run diverges at the first step whose loss or gradient is not finite. It also diverges where
    the mean loss of ten steps is too far above the first loss: clipped gradients and normalized
    layers keep most runs finite even with a learning rate that is far too high.

    Args:
        folder: receives the batch of the step that diverged, `diverged-at-step-<n>.npz`.
        max_loss_rise: see `TrainingConfig.max_loss_rise`.
        first_loss: the loss of the run's first step; NaN before it, and then set by `check`.
    """

    def __init__(
        self, folder: pathlib.Path, max_loss_rise: float = 0.0, first_loss: HostNumber | None = None
    ) -> None:
        self._folder = folder
        self._max_loss_rise = max_loss_rise
        self._first_loss = HostNumber(math.nan, np.float64) if first_loss is None else first_loss
        self._recent: collections.deque[float] = collections.deque(maxlen=_MEAN_STEPS)

    def check(
        self,
        step: int,
        metrics: Mapping[str, float],
        batches: Features,
        index: int,
    ) -> None:
        """Checks the next step.

        Args:
            step: its number, from 1.
            metrics: `loss`, `gradient_norm` and others, none of which may be infinite or NaN.
            batches: features of some steps, `[steps, rows, *shape]`.
            index: the position of the step in `batches`.

        Raises:
            TrainingDiverged: the step diverged; the message names the file of the batch.
        """
        fault = self._fault(metrics)
        if fault:
            path = self._folder / f"diverged-at-step-{step}.npz"
            np.savez_compressed(path, **{k: np.asarray(v)[index] for k, v in batches.items()})
            raise TrainingDiverged(
                f"{fault}; the batch is in {path}",
                where=f"training step {step}",
                remedy="lower training.optimizer.learning_rate or raise warmup_steps",
            )

    def _fault(self, metrics: Mapping[str, float]) -> str | None:
        """What is wrong with the step, if anything is."""
        loss = metrics["loss"]
        if not all(math.isfinite(value) for value in metrics.values()):
            return f"the loss is {loss}, the gradient norm {metrics['gradient_norm']}"
        if math.isnan(float(self._first_loss)):
            self._first_loss.assign(loss)
        self._recent.append(loss)
        mean = sum(self._recent) / _MEAN_STEPS
        rise = mean - float(self._first_loss)
        if 0.0 < self._max_loss_rise < rise and len(self._recent) == _MEAN_STEPS:
            return (
                f"the loss rises: its mean over the last {_MEAN_STEPS} steps is {mean:.2f}, the "
                f"first loss was {float(self._first_loss):.2f}"
            )
        return None
