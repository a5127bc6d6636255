"""What a training run tells of itself: figures, progress, and the batch that it diverged on."""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.errors import TrainingDiverged
from models.private_api import write_event
from models.published import published
from models.training.layout import TRAINING_LOG

_log = logging.getLogger("polyseme.training")
_PROGRESS_SECONDS = 5.0
_UNSEEN_STEPS = 10  # a look waits for the device
_RISEN_STEPS = 10
_COUNTS = ("tokens", "positions", "asked")

Features = Mapping[str, tf.Tensor]
State = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a run went.

    Attributes:
        steps: optimizer steps, those before a resume included.
        resumed_from: the step of the checkpoint that this process started from, 0 if none.
        seconds: time this process spent in the loop.
        tokens_per_second: over this process's steps; real tokens, padding apart.
        losses: the loss and its terms at the last look.
    """

    steps: int
    resumed_from: int
    seconds: float
    tokens_per_second: float
    losses: Mapping[str, float]


class _Steps(NamedTuple):
    """Steps that were not looked at yet; all but `before` has an axis of them."""

    before: int
    batches: Features
    state: State


class Work(NamedTuple):
    """What a run's batches ask of its devices, and what these can do."""

    operations: Callable[[int], float]
    """Time of a batch, in positions → floating-point operations of its step."""
    peak: float
    """Floating-point operations a second."""


class TrainingRecord:
    """The run's figures: TensorBoard, training.jsonl and a progress line every few seconds.

    Looks at all losses, at least once in ten steps, and stops at the first that is not finite, or
    where the mean of ten is too far above the first one: clipped gradients and normalized layers
    keep most runs with far too high a learning rate finite.
    `padding_share` is of all positions since the record before. `mfu`, the model FLOP/s utilization
    of Chowdhery et al., 2022 ("PaLM"), is the share of the peak that the model's own operations
    make up; an estimate, as the rest of a step is not counted.

    Args:
        folder: receives `training.jsonl`, events, and the batch that a run diverged on.
        resumed_from: the step that this process starts from.
        steps: of the whole run.
        work: for the MFU; without it there is none.
        max_rise: see `TrainingConfig.max_loss_rise`.
        first_loss: of the run's first step; NaN if that is still to come.

    Attributes:
        first_loss: likewise, from the first `add` on.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        resumed_from: int,
        steps: int,
        work: Work | None = None,
        *,
        max_rise: float = 0.0,
        first_loss: float = math.nan,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / TRAINING_LOG
        _cut(self._path, resumed_from)  # what is past the checkpoint is made again
        self._board = _board(folder, resumed_from)
        self._first = resumed_from
        self._steps = steps
        self._work = work
        self._max_rise = max_rise
        self.first_loss = first_loss
        self._latest: collections.deque[float] = collections.deque(maxlen=_RISEN_STEPS)
        self._begun = self._shown = time.monotonic()
        self._warm: tuple[int, float] | None = None  # after the first step, which compiles
        self._unseen: list[_Steps] = []
        self._counted = 0
        self._operations = 0.0
        self._real = self._positions = 0  # since the last record
        self._rate = self._mfu = 0.0
        self._figures: dict[str, float] = {}

    def add(self, before: int, batches: Features, state: State) -> None:
        """Takes steps in, and says where the run is if it has been quiet for a while.

        Args:
            before: steps that went before them.
            batches: this process's features, `[steps, rows, *shape]`.
            state: see `models.training.step.Steps`.

        Raises:
            TrainingDiverged: see `check`.
        """
        self._unseen.append(_Steps(before, batches, state))
        step = before + len(state["loss"])
        if self._warm is None:
            self.check()
            self._warm, self._counted, self._operations = (step, time.monotonic()), 0, 0.0
        if self._unseen and step - self._unseen[0].before >= _UNSEEN_STEPS:
            self.check()
        if time.monotonic() - self._shown >= _PROGRESS_SECONDS:
            self.check()
            self._show(step)

    def write(self, step: int) -> None:
        """Writes a record of the last step.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._figures["padding_share"] = 1.0 - self._real / self._positions
        self._real = self._positions = 0
        with self._board.as_default(step=step):
            for name, value in self._figures.items():
                tf.summary.scalar(name, value)
        line = {"step": step, **self._figures, "seconds": time.monotonic() - self._begun}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._figures.pop("held_out_loss", None)

    def held_out(self, loss: float) -> None:
        """Takes a loss on held-out examples in, for the next record.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._figures["held_out_loss"] = loss

    def close(self, step: int) -> None:
        """Shows the last step.

        Raises:
            TrainingDiverged: see `check`.
        """
        self.check()
        self._steps = step  # fewer than were wanted, where training ended early
        if self._figures:
            self._show(step)
        self._board.close()

    def check(self) -> None:
        """Looks at all steps that were not looked at yet.

        Raises:
            TrainingDiverged: a loss or a gradient is not finite, or losses have risen too far; the
                batch is in a file.
        """
        for before, batches, state in self._unseen:
            columns = {name: np.asarray(values) for name, values in state.items()}
            for place in range(len(columns["loss"])):
                step = before + place + 1
                figures = {k: float(v[place]) for k, v in columns.items() if k not in _COUNTS}
                fault = self._fault(figures)
                if fault:
                    batch = {name: np.asarray(v)[place] for name, v in batches.items()}
                    raise self._diverged(step, batch, fault)
                tokens = int(columns["tokens"][place])
                self._counted += tokens
                self._real += tokens
                self._positions += int(columns["positions"][place])
                if self._work:
                    self._operations += self._work.operations(batches["padding_mask"].shape[-1])
            if self._warm is not None and step > self._warm[0]:
                seconds = time.monotonic() - self._warm[1]
                self._rate = self._counted / seconds
                if self._work:
                    self._mfu = self._operations / seconds / self._work.peak
            self._figures = {**figures, "tokens_per_second": self._rate}
            if self._work:
                self._figures["mfu"] = self._mfu
        self._unseen.clear()

    def _fault(self, figures: Mapping[str, float]) -> str | None:
        """What is wrong with the next step, if anything is."""
        loss = figures["loss"]
        if not all(math.isfinite(value) for value in figures.values()):
            return f"the loss is {loss}, the gradient's norm {figures['gradient_norm']}"
        if math.isnan(self.first_loss):
            self.first_loss = loss
        self._latest.append(loss)
        mean = sum(self._latest) / _RISEN_STEPS
        if 0.0 < self._max_rise < mean - self.first_loss and len(self._latest) == _RISEN_STEPS:
            return (
                f"the loss rises: {mean:.2f} in the mean of the last {_RISEN_STEPS} steps, "
                f"{self.first_loss:.2f} at the first"
            )
        return None

    def _diverged(self, step: int, batch: Mapping[str, np.ndarray], fault: str) -> TrainingDiverged:
        path = self._path.with_name(f"diverged-at-step-{step}.npz")
        np.savez_compressed(path, **batch)
        return TrainingDiverged(
            f"{fault}; the batch is in {path}",
            where=f"training step {step}",
            remedy="lower training.optimizer.learning_rate or lengthen warmup_steps",
        )

    def result(self, resumed_from: int) -> TrainingResult:
        """How the run went."""
        return TrainingResult(
            self._steps,
            resumed_from,
            time.monotonic() - self._begun,
            self._rate,
            self._losses(),
        )

    def _losses(self) -> dict[str, float]:
        beside = ("learning_rate", "tokens_per_second", "padding_share", "mfu")
        return {name: value for name, value in self._figures.items() if name not in beside}

    def _show(self, step: int) -> None:
        now = time.monotonic()
        warm_step, warm_at = self._warm or (self._first, self._begun)
        per_step = (now - warm_at) / max(step - warm_step, 1)
        terms = "  ".join(
            f"{name.removesuffix('_sum')} {value:.3f}"
            for name, value in self._losses().items()
            if name != "gradient_norm"
        )
        pace = f"  {self._rate:,.0f} tokens/s" if self._rate else ""
        left = f"  {_duration((self._steps - step) * per_step)} left" if step > warm_step else ""
        progress = {"progress": (step, self._steps)}  # for who shows a bar
        _log.info("step %d/%d  %s%s%s", step, self._steps, terms, pace, left, extra=progress)
        self._shown = now


def _cut(path: pathlib.Path, last: int) -> None:
    """Leaves the lines up to step `last` in the file, and makes it if there is none."""
    lines = path.read_bytes().splitlines() if last and path.exists() else []
    steps = [_step(line) for line in lines]
    if unread := steps.count(None):
        _log.warning("%d lines of %s can't be read and are left out", unread, path)
    kept = [
        line + b"\n"
        for line, step in zip(lines, steps, strict=True)
        if step is not None and step <= last
    ]
    with published(path, durable=True) as partial:
        partial.write_bytes(b"".join(kept))


def _step(line: bytes) -> int | None:
    """None if the line is no record: one that was being written as the power went is of NULs."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return None
    return step if isinstance(step, int) else None


def _board(folder: pathlib.Path, resumed_from: int) -> tf.summary.SummaryWriter:
    """TensorBoard's file of this process, in which it leaves out later steps of those before."""
    board = tf.summary.create_file_writer(str(folder))
    start = tf.compat.v1.Event(
        wall_time=time.time(),
        step=resumed_from + 1,
        session_log=tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START),
    )
    # TensorBoard takes the steps from this one on out of the files before, if those began with one
    # too.
    write_event(board, start)
    return board


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
