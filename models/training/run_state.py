"""How far a training run is: its step, its position in the data, and its best evaluation."""

from __future__ import annotations

import math

import numpy as np

from models.training.checkpoints import HostNumber


class RunState:
    """The numbers of a training run that its checkpoints hold, besides the variables.

    Args:
        steps: optimizer steps of the whole run.
        patience: see `TrainingConfig.patience`.

    Attributes:
        steps: optimizer steps of the whole run.
        step: optimizer steps done.
        epoch: the current epoch, from 0.
        batch: batches of the current epoch that were trained on.
        first_loss: loss of the run's first step; NaN before it.
        best_step: step of the evaluation with the lowest held-out loss; 0 if there was none.
        best_loss: the held-out loss of that evaluation.
        evaluations_since_best: evaluations after it.
    """

    def __init__(self, steps: int, patience: int = 0) -> None:
        self.steps = steps
        self._patience = patience
        self.step = HostNumber(0, np.int64)
        self.epoch = HostNumber(0, np.int64)
        self.batch = HostNumber(0, np.int64)
        self.first_loss = HostNumber(math.nan, np.float64)
        self.best_step = HostNumber(0, np.int64)
        self.best_loss = HostNumber(math.inf, np.float64)
        self.evaluations_since_best = HostNumber(0, np.int64)

    @property
    def numbers(self) -> list[HostNumber]:
        """All numbers, in an order that never changes."""
        return [
            self.step, self.epoch, self.batch, self.first_loss, self.best_step, self.best_loss,
            self.evaluations_since_best,
        ]  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or early stopping has ended the run."""
        stopped_early = 0 < self._patience <= int(self.evaluations_since_best)
        return int(self.step) >= self.steps or stopped_early

    def advance(self, steps: int) -> int:
        """Counts optimizer steps, each of one batch; returns the number of steps done."""
        self.step.assign(int(self.step) + steps)
        self.batch.assign(int(self.batch) + steps)
        return int(self.step)

    def start_next_epoch(self) -> None:
        """Moves to the first batch of the next epoch."""
        self.epoch.assign(int(self.epoch) + 1)
        self.batch.assign(0)

    def update_best(self, held_out_loss: float) -> bool:
        """Takes in the evaluation of the current step; returns whether it is the best so far."""
        if held_out_loss < float(self.best_loss):
            self.best_loss.assign(held_out_loss)
            self.best_step.assign(self.step)
            self.evaluations_since_best.assign(0)
            return True
        self.evaluations_since_best.assign(int(self.evaluations_since_best) + 1)
        return False
