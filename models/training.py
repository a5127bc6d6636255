"""The one training loop: deterministic order, exact resume, the whole batch's loss (law 2).

A run is a pure function of (initial weights, examples, configuration): killed at any moment and
started again with the same arguments it ends with bit-identical weights, because a checkpoint holds
the model's and the optimizer's variables, the dropout layers' seeds and the position in the data.
"""

from __future__ import annotations

import contextlib
import logging
import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.checkpoints import Checkpoints
from models.config import TrainingConfig
from models.errors import ConfigError, Preempted
from models.examples import parse
from models.objective import Objective, numeric_features
from models.optimizer import build_optimizer
from models.training_record import TrainingRecord, TrainingResult

_log = logging.getLogger("polyseme.training")

Batches = Callable[[int], tf.data.Dataset]
"""Epoch → its batches of serialized examples `[batch]`, the same ones each time it is called."""


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


def train(
    model: keras.Model,
    objective: Objective,
    batches: Batches,
    config: TrainingConfig,
    folder: pathlib.Path,
    held_out: Callable[[], float] | None = None,
) -> TrainingResult:
    """Trains `model` for `config.steps` steps, from the last checkpoint in `folder` if any.

    With `config.held_out_steps` the model ends with the weights of the lowest held-out loss.

    Args:
        model: from `objective.build_model`, with its initial weights.
        batches: see `example_batches`.
        folder: checkpoints, and in `logs/` TensorBoard's events and `training.jsonl`, one JSON
            object a record: step, loss, the loss's terms, learning_rate, gradient_norm,
            tokens_per_second, padding_share, held_out_loss where it was looked at, seconds; in
            `best/` the weights of the lowest. Belongs to this run alone.
        held_out: gives the loss on held-out examples; see `models.held_out`.

    Raises:
        ConfigError: an epoch has no whole batch, or the accumulation doesn't divide the batch.
        TrainingDiverged: the loss or the gradient is not finite; names the file of the batch.
        Preempted: the process got SIGTERM, after which the step that was at work is saved.
    """
    if config.batch_size % config.accumulation:
        raise ConfigError(
            f"a batch of {config.batch_size} can't be computed in {config.accumulation} parts",
            where="training.accumulation",
            remedy="choose an accumulation that divides training.batch_size",
        )
    if config.patience and not (held_out and config.held_out_steps):
        raise ConfigError(
            "nothing is looked at that training could be patient with",
            where="training.patience",
            remedy="set training.held_out_steps",
        )
    optimizer = build_optimizer(config.optimizer, config.steps)
    optimizer.build(model.trainable_variables)
    position = _Position()
    checkpoints = Checkpoints(
        folder,
        position.step,
        config.keep_checkpoints,
        variables=_values([*model.variables, *optimizer.variables]),
        position=position,
    )
    resumed_from = checkpoints.restore()
    if resumed_from:
        _log.info("resumed from step %d of %d", resumed_from, config.steps)
    run_step = _compile_step(model, objective, optimizer, config)
    record = TrainingRecord(folder / "logs", resumed_from, config.steps)
    best = Checkpoints(folder / "best", position.best_step, 1, variables=_values(model.variables))
    spec = numeric_features(objective.feature_spec())
    looks = config.held_out_steps if held_out else 0
    saved_at = time.monotonic()
    with contextlib.closing(checkpoints), contextlib.closing(best), _asked_to_end() as asked:
        while int(position.step) < config.steps and not position.out_of(config.patience):
            epoch, done = int(position.epoch), int(position.batch)
            features = (
                batches(epoch)
                .skip(done)
                .map(lambda texts: parse(texts, spec), num_parallel_calls=tf.data.AUTOTUNE)
                .prefetch(tf.data.AUTOTUNE)
            )
            for batch in features:
                state = run_step(batch)
                position.step.assign_add(1)
                position.batch.assign_add(1)
                step = int(position.step)
                last = step == config.steps
                record.add(step, batch, state)
                look = looks and (last or step % looks == 0)
                if held_out and look:
                    record.held_out(loss := held_out())
                    if position.is_best(loss):
                        best.save()
                    last = last or position.out_of(config.patience)
                if last or look or step % config.log_steps == 0:
                    record.write(step)
                late = time.monotonic() - saved_at > config.checkpoint_seconds
                if last or late or asked.is_set():
                    record.check()  # nothing that is not finite is ever saved
                    best.close()  # what the checkpoint says of it has to be there
                    checkpoints.save()
                    saved_at = time.monotonic()
                if last:
                    break
                if asked.is_set():
                    raise Preempted(
                        f"the process was asked to end; training is saved at step {step} of "
                        f"{config.steps}",
                        remedy="give the same command again to go on from there",
                    )
            else:
                if int(position.batch) == 0:
                    raise ConfigError(
                        f"the examples do not fill one batch of {config.batch_size}",
                        where="training.batch_size",
                        remedy="give more text, or a smaller batch",
                    )
                position.epoch.assign_add(1)
                position.batch.assign(0)
    record.close(int(position.step))
    if int(position.best_step):
        wanted = int(position.best_step)
        if best.restore() != wanted:
            raise ConfigError(
                f"the weights of step {wanted}, the best ones, are lost",
                where=str(folder / "best"),
                remedy="remove the folder above it, and give the same command again",
            )
        _log.info("the weights are those of step %d, the best on held-out examples", wanted)
    return record.result(resumed_from)


@contextlib.contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """Set once SIGTERM came, which ends no process in the block; only the main thread gets it."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _values(variables: Sequence[keras.Variable]) -> list[tf.Variable]:
    """TensorFlow's variables of Keras's."""
    return [variable.value for variable in variables]


class _Position(tf.Module):
    """Where a run is: steps and batches done, and the best held-out loss so far."""

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)
        self.epoch = tf.Variable(0, dtype=tf.int64)
        self.batch = tf.Variable(0, dtype=tf.int64)  # of the epoch
        self.best_step = tf.Variable(0, dtype=tf.int64)
        self.best_loss = tf.Variable(math.inf, dtype=tf.float64)
        self.waited = tf.Variable(0, dtype=tf.int64)  # looks since the best one

    def is_best(self, loss: float) -> bool:
        """Takes the held-out loss of the step at hand in; whether it is the lowest so far."""
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            self.waited.assign(0)
            return True
        self.waited.assign_add(1)
        return False

    def out_of(self, patience: int) -> bool:
        """Whether so many looks in a row, if any, found nothing better."""
        return 0 < patience <= int(self.waited)


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
            "positions": tf.size(features["padding_mask"]),
        }

    return step
