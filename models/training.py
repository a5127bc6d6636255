"""The one training loop: deterministic order, exact resume, the whole batch's loss (law 2).

A run is a pure function of (initial weights, examples, configuration): killed at any moment and
started again with the same arguments it ends with bit-identical weights, because a checkpoint holds
the model's and the optimizer's variables, the dropout layers' seeds and the position in the data.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.config import TrainingConfig
from models.errors import ConfigError, TrainingDiverged
from models.examples import parse
from models.objective import FeatureSpec, Objective
from models.optimizer import build_optimizer

_log = logging.getLogger("polyseme.training")
_PROGRESS_SECONDS = 5.0

Batches = Callable[[int], tf.data.Dataset]
"""Epoch → its batches of serialized examples `[batch]`, the same ones each time it is called."""


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


def example_batches(
    files: Sequence[str], config: TrainingConfig, streams: int | None = None
) -> Batches:
    """Batches in an order drawn from (seed, epoch), whatever the machine.

    Args:
        files: gzip TFRecord files of serialized examples.
        streams: see `Objective.streams`; with it only the order of the files is drawn.

    Returns:
        A function of the epoch; the last, smaller batch of an epoch is left out, another one's
        turn comes in the next epoch's order.

    Raises:
        ConfigError: a batch would not hold windows of different streams.
    """
    if streams is not None and streams % config.batch_size:
        raise ConfigError(
            f"a batch of {config.batch_size} does not divide the {streams} streams, so that it "
            "would hold two windows of one",
            where="training.batch_size",
            remedy="make it and model.objective.streams the same, or one a multiple of it",
        )
    names = sorted(files)

    def batches(epoch: int) -> tf.data.Dataset:
        rng = np.random.default_rng([config.seed, epoch])
        order = [names[i] for i in rng.permutation(len(names))]
        records = tf.data.TFRecordDataset(order, compression_type="GZIP")
        if streams is None:
            records = records.shuffle(
                config.shuffle_buffer,
                seed=int(rng.integers(2**31)),
                reshuffle_each_iteration=False,
            )
        return records.batch(config.batch_size, drop_remainder=True)

    return batches


def numeric_features(spec: FeatureSpec) -> FeatureSpec:
    """The features a model reads; strings (slice keys) never reach an accelerator."""
    return {name: feature for name, feature in spec.items() if feature.dtype != "string"}


def train(
    model: keras.Model,
    objective: Objective,
    batches: Batches,
    config: TrainingConfig,
    folder: pathlib.Path,
) -> TrainingResult:
    """Trains `model` for `config.steps` steps, from the last checkpoint in `folder` if any.

    Args:
        model: from `objective.build_model`, with its initial weights.
        batches: see `example_batches`.
        folder: checkpoints, and in `logs/` TensorBoard's events and `training.jsonl`, one JSON
            object a record: step, loss, the loss's terms, learning_rate, gradient_norm,
            tokens_per_second, seconds. Belongs to this run alone.

    Raises:
        ConfigError: an epoch has no whole batch, or the accumulation doesn't divide the batch.
        TrainingDiverged: the loss or the gradient is not finite.
    """
    if config.batch_size % config.accumulation:
        raise ConfigError(
            f"a batch of {config.batch_size} can't be computed in {config.accumulation} parts",
            where="training.accumulation",
            remedy="choose an accumulation that divides training.batch_size",
        )
    optimizer = build_optimizer(config.optimizer, config.steps)
    optimizer.build(model.trainable_variables)
    position = _Position()
    checkpoint = tf.train.Checkpoint(
        variables=[v.value for v in (*model.variables, *optimizer.variables)],
        position=position,
    )
    manager = tf.train.CheckpointManager(
        checkpoint, str(folder), max_to_keep=config.keep_checkpoints, step_counter=position.step
    )
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        _log.info("resumed from step %d of %d", int(position.step), config.steps)
    resumed_from = int(position.step)
    run_step = _compile_step(model, objective, optimizer, config)
    record = _Record(folder / "logs", resumed_from, config.steps)
    spec = numeric_features(objective.feature_spec())
    saved_at = time.monotonic()
    state: Mapping[str, tf.Tensor] = {}
    while int(position.step) < config.steps:
        epoch, done = int(position.epoch), int(position.batch)
        features = (
            batches(epoch)
            .skip(done)
            .map(lambda serialized: parse(serialized, spec), num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        for batch in features:
            state = run_step(batch)
            position.step.assign_add(1)
            position.batch.assign_add(1)
            step = int(position.step)
            last = step == config.steps
            record.add(step, state)
            if last or step % config.log_steps == 0:
                record.write(step, state)
            if last or time.monotonic() - saved_at > config.checkpoint_seconds:
                manager.save(checkpoint_number=step)
                saved_at = time.monotonic()
            if last:
                break
        else:
            if int(position.batch) == 0:
                raise ConfigError(
                    f"the examples do not fill one batch of {config.batch_size}",
                    where="training.batch_size",
                    remedy="give more text, or a smaller batch",
                )
            position.epoch.assign_add(1)
            position.batch.assign(0)
    return record.result(resumed_from)


class _Position(tf.Module):
    """Where a run is: steps done, epoch, batches done in the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)
        self.epoch = tf.Variable(0, dtype=tf.int64)
        self.batch = tf.Variable(0, dtype=tf.int64)


def _compile_step(
    model: keras.Model,
    objective: Objective,
    optimizer: keras.optimizers.Optimizer,
    config: TrainingConfig,
) -> Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]:
    """One optimizer step on one batch, as a graph.

    Each loss term is divided by its denominator over the *whole* batch before any part is
    computed, so a batch in parts has the gradient of the batch in one.
    """
    terms = objective.losses()
    weights = model.trainable_variables

    def gradients_of(
        features: Mapping[str, tf.Tensor], totals: Mapping[str, tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        with tf.GradientTape() as tape:
            sums = model(features, training=True)
            parts = {
                term.numerator: tf.reduce_sum(sums[term.numerator]) / totals[term.denominator]
                for term in terms
            }
            loss = tf.add_n([term.weight * parts[term.numerator] for term in terms])
        gradients = tape.gradient(loss, [w.value for w in weights])
        return [tf.convert_to_tensor(g) for g in gradients], {"loss": loss, **parts}

    @tf.function(jit_compile=config.jit_compile)
    def step(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        totals = {
            name: tf.maximum(tf.reduce_sum(value), 1.0)
            for name, value in objective.denominators(features).items()
        }
        part = config.batch_size // config.accumulation
        gradients, losses = gradients_of({k: v[:part] for k, v in features.items()}, totals)
        for i in range(1, config.accumulation):
            rows = slice(i * part, (i + 1) * part)
            more, terms_of_part = gradients_of({k: v[rows] for k, v in features.items()}, totals)
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
            losses = {k: losses[k] + terms_of_part[k] for k in losses}
        norm = tf.linalg.global_norm(gradients)
        scale = config.optimizer.clip_norm / tf.maximum(norm, config.optimizer.clip_norm)
        rate = optimizer.learning_rate
        optimizer.apply([g * scale for g in gradients], weights)
        return {
            **losses,
            "gradient_norm": norm,
            "learning_rate": tf.convert_to_tensor(rate),
            "tokens": tf.reduce_sum(tf.cast(features["padding_mask"], tf.int32)),
        }

    return step


class _Record:
    """The run's figures: TensorBoard, training.jsonl and a progress line every few seconds."""

    def __init__(self, folder: pathlib.Path, resumed_from: int, steps: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "training.jsonl"
        kept = []
        if resumed_from and self._path.exists():  # lines past the checkpoint are made again
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if line.endswith("\n") and json.loads(line)["step"] <= resumed_from
            ]
        self._path.write_text("".join(kept), encoding="utf-8")
        self._board = tf.summary.create_file_writer(str(folder))
        self._first = resumed_from
        self._steps = steps
        self._begun = self._shown = time.monotonic()
        self._warm: tuple[int, float] | None = None  # after the first step, which compiles
        self._tokens: list[tf.Tensor] = []
        self._counted = 0
        self._rate = 0.0
        self._losses: dict[str, float] = {}

    def add(self, step: int, state: Mapping[str, tf.Tensor]) -> None:
        """Counts a step's tokens, and says where the run is if it has been quiet for a while."""
        if self._warm is None:
            float(state["loss"])
            self._warm = (step, time.monotonic())
        else:
            self._tokens.append(state["tokens"])
        if time.monotonic() - self._shown >= _PROGRESS_SECONDS:
            self._look(step, state)
            self._show(step)

    def write(self, step: int, state: Mapping[str, tf.Tensor]) -> None:
        """Looks at the loss and writes a record."""
        figures = self._look(step, state)
        with self._board.as_default(step=step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        line = {"step": step, **figures, "seconds": time.monotonic() - self._begun}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if step == self._steps:
            self._show(step)
            self._board.close()

    def result(self, resumed_from: int) -> TrainingResult:
        return TrainingResult(
            self._steps,
            resumed_from,
            time.monotonic() - self._begun,
            self._rate,
            dict(self._losses),
        )

    def _look(self, step: int, state: Mapping[str, tf.Tensor]) -> dict[str, float]:
        figures = {name: float(value) for name, value in state.items() if name != "tokens"}
        if not all(math.isfinite(value) for value in figures.values()):
            raise TrainingDiverged(
                f"the loss is {figures['loss']}, the gradient's norm {figures['gradient_norm']}",
                where=f"training step {step}",
                remedy="lower training.optimizer.learning_rate or lengthen warmup_steps",
            )
        self._counted += sum(int(tokens) for tokens in self._tokens)
        self._tokens.clear()
        if self._warm is not None and step > self._warm[0]:
            self._rate = self._counted / (time.monotonic() - self._warm[1])
        figures["tokens_per_second"] = self._rate
        self._losses = {
            k: v for k, v in figures.items() if k not in ("learning_rate", "tokens_per_second")
        }
        return figures

    def _show(self, step: int) -> None:
        now = time.monotonic()
        warm_step, warm_at = self._warm or (self._first, self._begun)
        per_step = (now - warm_at) / max(step - warm_step, 1)
        terms = "  ".join(
            f"{name.removesuffix('_sum')} {value:.3f}"
            for name, value in self._losses.items()
            if name != "gradient_norm"
        )
        pace = f"  {self._rate:,.0f} tokens/s" if self._rate else ""
        left = f"  {_duration((self._steps - step) * per_step)} left" if step > warm_step else ""
        _log.info("step %d/%d  %s%s%s", step, self._steps, terms, pace, left)
        self._shown = now


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
