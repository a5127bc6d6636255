"""The metrics of a training run: fetched from the device, checked for divergence, and logged."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.training.checkpoints import HostNumber
from models.training.devices import Features
from models.training.divergence import DivergenceDetector
from models.training.metrics_writer import MetricsWriter
from models.training.progress import ProgressLog
from models.training.step import COUNTS
from models.training.throughput import StepCost, Throughput

_MAX_PENDING_STEPS = 10  # fetching metrics waits for the device
_NOT_LOSSES = ("learning_rate", "tokens_per_second", "padding_share", "matmul_utilization")

Outputs = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a training run ended.

    Attributes:
        steps: optimizer steps, those before a resume included.
        resumed_from: the step of the checkpoint that this process started from, 0 if none.
        seconds: time that this process spent in the loop.
        tokens_per_second: over this process's steps; padding is not counted.
        losses: the loss and its terms at the last step.
    """

    steps: int
    resumed_from: int
    seconds: float
    tokens_per_second: float
    losses: Mapping[str, float]


class _Execution(NamedTuple):
    """Steps whose outputs were not fetched yet. Tensors have the axis of the steps first."""

    first_step: int
    batches: Features
    outputs: Outputs


class TrainingMetrics:
    """Collects the outputs of all steps; logs them; stops a run that diverges.

    The loss of every step is checked, at most ten steps later.

    Args:
        folder: receives `training.jsonl`, TensorBoard's events, and the batch that a run diverged
            on.
        resumed_from: the step that this process starts from.
        steps: the steps of the whole run.
        cost: the cost of a step, for `matmul_utilization`; None leaves that metric out.
        max_loss_rise: see `TrainingConfig.max_loss_rise`.
        first_loss: the loss of the run's first step; NaN before it, and then set by `add`.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        resumed_from: int,
        steps: int,
        cost: StepCost | None = None,
        *,
        max_loss_rise: float = 0.0,
        first_loss: HostNumber | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = MetricsWriter(folder, resumed_from)
        self._divergence = DivergenceDetector(folder, max_loss_rise, first_loss)
        self._progress = ProgressLog(resumed_from, steps)
        self._throughput = Throughput(cost)
        self._resumed_from = resumed_from
        self._steps = steps
        self._started_at = time.monotonic()
        self._pending: list[_Execution] = []
        self._metrics: dict[str, float] = {}

    def add(self, first_step: int, batches: Features, outputs: Outputs) -> None:
        """Takes in the steps of an execution; logs the progress every few seconds.

        Args:
            first_step: steps done before the execution.
            batches: this process's features, `[steps, rows, *shape]`.
            outputs: see `models.training.step.Steps`.

        Raises:
            TrainingDiverged: see `check`.
        """
        self._pending.append(_Execution(first_step, batches, outputs))
        step = first_step + len(outputs["loss"])
        if not self._throughput.measuring:  # the first execution, which also compiles
            self.check()
            self._throughput.start()
            self._progress.start(step)
        if self._pending and step - self._pending[0].first_step >= _MAX_PENDING_STEPS:
            self.check()
        if self._progress.due:
            self.check()
            self._progress.log(step, self._losses(), self._throughput.tokens_per_second)

    def add_evaluation(self, held_out_loss: float) -> None:
        """Takes in the held-out loss of the last step, for the next `write`.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._metrics["held_out_loss"] = held_out_loss

    def write(self, step: int) -> None:
        """Writes the metrics of the last step to TensorBoard and `training.jsonl`.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._metrics["padding_share"] = self._throughput.take_padding_share()
        self._writer.write(step, self._metrics)
        self._metrics.pop("held_out_loss", None)

    def check(self) -> None:
        """Fetches the outputs of all pending steps, and checks them for divergence.

        Raises:
            TrainingDiverged: a loss or a gradient is not finite, or losses have risen too far.
        """
        for execution in self._pending:
            self._fetch(execution)
        self._pending.clear()

    def _fetch(self, execution: _Execution) -> None:
        outputs = {name: np.asarray(values) for name, values in execution.outputs.items()}
        length = execution.batches["padding_mask"].shape[-1]
        metrics: dict[str, float] = {}
        for index in range(len(outputs["loss"])):
            metrics = {k: float(v[index]) for k, v in outputs.items() if k not in COUNTS}
            step = execution.first_step + index + 1
            self._divergence.check(step, metrics, execution.batches, index)
            tokens, positions = int(outputs["tokens"][index]), int(outputs["positions"][index])
            self._throughput.add(tokens, positions, length)
        self._metrics = {**metrics, **self._throughput.metrics()}

    def close(self, step: int) -> None:
        """Logs the last step, which comes before the configured one where training stopped early.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._steps = step
        if self._metrics:
            self._progress.log_end(step, self._losses(), self._throughput.tokens_per_second)
        self._writer.close()

    def result(self) -> TrainingResult:
        """How the run ended."""
        return TrainingResult(
            self._steps,
            self._resumed_from,
            time.monotonic() - self._started_at,
            self._throughput.tokens_per_second,
            self._losses(),
        )

    def _losses(self) -> dict[str, float]:
        """The loss, its terms and the gradient norm."""
        return {name: value for name, value in self._metrics.items() if name not in _NOT_LOSSES}
