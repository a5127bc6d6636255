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
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from models.errors import ConfigError, Preempted
from models.objective import Objective
from models.training.batches import Batches
from models.training.checkpoints import Checkpoints, HostNumber
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features
from models.training.layout import LOGS_FOLDER
from models.training.optimizer import build_optimizer
from models.training.platform import keep_platform, platform
from models.training.profile import TrainingProfile
from models.training.record import TrainingRecord, TrainingResult, Work
from models.training.step import compile_steps

_log = logging.getLogger("polyseme.training")


def train(
    model: keras.Model,
    objective: Objective,
    batches: Batches,
    config: TrainingConfig,
    folder: pathlib.Path,
    held_out: Callable[[], float] | None = None,
    devices: Devices | None = None,
) -> TrainingResult:
    """Trains `model` for `config.steps` steps, from the last checkpoint in `folder` if any.

    With `config.eval_steps` the model ends with the weights of the lowest held-out loss.

    Args:
        model: from `objective.build_model`, with its initial weights, made in `devices.scope()`.
        batches: see `models.training.batches`.
        config: with `jit_compile` chosen, see `models.training.platform`.
        folder: checkpoints, and in `logs/` TensorBoard's events and `training.jsonl`, one JSON
            object a record: step, loss, the loss's terms, learning_rate, gradient_norm,
            tokens_per_second, padding_share, mfu, held_out_loss where it was looked at, seconds;
            and `platform.jsonl`; in `best/` the weights of the lowest. Belongs to this run alone.
            All processes see it; the chief alone writes there, but for the logs of the others in
            `logs/worker-<n>`.
        held_out: gives the loss on held-out examples; see `models.training.held_out`.
        devices: where it is computed; None: on one device.

    Raises:
        ConfigError: an epoch has no whole batch, or the batch does not come out even.
        TrainingDiverged: the loss or the gradient is not finite, or the loss has risen too far;
            names the file of the batch.
        Preempted: a process got SIGTERM, after which the step that was at work is saved.
    """
    if config.patience and not held_out:
        raise ConfigError(
            "nothing is looked at that training could be patient with",
            where="training.patience",
            remedy="give examples that are held out",
        )
    devices = devices or Devices()
    with devices.all_there():
        return _train(model, objective, batches, config, folder, held_out, devices)


def _train(
    model: keras.Model,
    objective: Objective,
    batches: Batches,
    config: TrainingConfig,
    folder: pathlib.Path,
    held_out: Callable[[], float] | None,
    devices: Devices,
) -> TrainingResult:
    with devices.scope():
        layers = (
            model.backbone.layer_variables if config.optimizer.layerwise_lr_decay != 1.0 else ()
        )
        optimizer = build_optimizer(config.optimizer, config.steps, layers)
        optimizer.build(model.trainable_variables)
    run_steps = compile_steps(model, objective, optimizer, config, devices)
    position = _Position()
    checkpoints = Checkpoints(
        folder,
        position.step,
        config.keep_checkpoints,
        [*position.numbers, *_values([*model.variables, *optimizer.variables])],
    )
    resumed_from = _restore(checkpoints, devices)
    if resumed_from:
        _log.info("resumed from step %d of %d", resumed_from, config.steps)
    logs = folder / LOGS_FOLDER
    if not devices.chief:
        logs /= f"worker-{devices.worker}"
    if resumed_from < config.steps:
        keep_platform(logs, platform(resumed_from, config, devices))
    record = TrainingRecord(
        logs,
        resumed_from,
        config.steps,
        _work(model, objective, config, devices),
        max_rise=config.max_loss_rise,
        first_loss=float(position.first_loss),
    )
    best = Checkpoints(
        folder / "best", position.best_step, 1, [position.best_step, *_values(model.variables)]
    )
    _check_best(best, int(position.best_step), devices)
    profile = TrainingProfile(logs)
    looks = config.eval_steps if held_out else 0
    saved_at = time.monotonic()
    with (
        contextlib.closing(checkpoints),
        contextlib.closing(best),
        contextlib.closing(profile),
        _asked_to_end() as asked,
    ):
        while int(position.step) < config.steps and not position.out_of(config.patience):
            epoch, done = int(position.epoch), int(position.batch)
            left = batches(epoch, done).take(config.steps - int(position.step))
            for features in _calls(left, devices.config.steps_per_execution):
                before = int(position.step)
                with profile.call(before):
                    state = run_steps(features, asked.is_set())
                step = before + len(state["loss"])
                position.step.assign(step)
                position.batch.assign(int(position.batch) + step - before)
                record.add(before, features, state)
                if before == 0:
                    position.first_loss.assign(record.first_loss)
                ending = asked.is_set()
                if devices.workers > 1:  # all have to end at the same step, and for one reason
                    record.check()
                    ending = bool(tf.reduce_any(state["asked"] > 0))
                last = step == config.steps
                look = looks and (last or step // looks > before // looks)
                if held_out and look:
                    record.held_out(loss := held_out())
                    if position.is_best(loss) and devices.chief:
                        best.save()
                    last = last or position.out_of(config.patience)
                if last or look or step // config.log_steps > before // config.log_steps:
                    record.write(step)
                late = time.monotonic() - saved_at > config.checkpoint_seconds
                if last or late or ending:
                    record.check()  # nothing that is not finite is ever saved
                    if devices.chief:
                        checkpoints.save(behind=best)
                    saved_at = time.monotonic()
                if last:
                    break
                if ending:
                    checkpoints.close()
                    devices.agree(step)
                    raise _preempted(step, config.steps)
            else:
                if int(position.batch) == 0:
                    raise ConfigError(
                        f"the examples do not fill one batch of {config.batch_size}",
                        where="training.batch_size",
                        remedy="give more text, or a smaller batch",
                    )
                if int(position.step) < config.steps:
                    position.epoch.assign(int(position.epoch) + 1)
                    position.batch.assign(0)
    record.close(int(position.step))
    devices.agree(int(position.step))  # till all that the chief writes is there
    if asked.is_set() and devices.workers == 1:  # else who started the processes tells of it
        raise _preempted(int(position.step), config.steps)
    if int(position.best_step):
        wanted = int(position.best_step)
        if not best.restore_step(wanted):
            raise _lost(best, wanted)
        _log.info("the weights are those of step %d, the best on held-out examples", wanted)
    return record.result(resumed_from)


def _check_best(best: Checkpoints, step: int, devices: Devices) -> None:
    """Sees to it that the best weights so far are there, and none of what comes after them."""
    if devices.chief:
        best.keep_only([step])
        if step and not best.whole(step):
            raise _lost(best, step)


def _lost(best: Checkpoints, step: int) -> ConfigError:
    return ConfigError(
        f"the weights of step {step}, the best ones, are lost",
        where=str(best.folder),
        remedy="remove the folder above it, and give the same command again",
    )


def _preempted(step: int, steps: int) -> Preempted:
    return Preempted(
        f"the process was asked to end; training is saved at step {step} of {steps}",
        remedy="give the same command again to go on from there",
    )


def _work(
    model: keras.Model, objective: Objective, config: TrainingConfig, devices: Devices
) -> Work:
    """For each multiply-add two operations, forwards, and for the gradients of either factor."""
    dtype = tf.bfloat16 if config.precision == "mixed_bfloat16" else tf.float32
    return Work(
        lambda time: 6.0 * config.batch_size * objective.multiply_adds(model, time),
        devices.peak(dtype),
    )


def _restore(checkpoints: Checkpoints, devices: Devices) -> int:
    """Takes the newest whole checkpoint, as the chief sees it, in all processes; gives its step."""
    step = devices.agree(checkpoints.restore() if devices.chief else 0)
    if step and not devices.chief and not checkpoints.restore_step(step):
        raise ConfigError(
            f"this process can't read the checkpoint of step {step}, which the chief has read",
            where=str(checkpoints.folder),
            remedy="keep the runs in a folder that all processes see",
        )
    return step


def _calls(batches: tf.data.Dataset, steps: int) -> Iterator[Features]:
    """Features of so many steps at a time `[steps, rows, *shape]`, or else of one.

    Batches of one call are of one shape. How they are put together depends on the batches that are
    left alone, so that a run that goes on has the calls of one that was never interrupted.
    """
    waiting: list[Features] = []
    for features in batches:
        if waiting and any(waiting[0][name].shape != v.shape for name, v in features.items()):
            yield from map(_stacked, zip(waiting))
            waiting = []
        waiting.append(features)
        if len(waiting) == steps:
            yield _stacked(waiting)
            waiting = []
    yield from map(_stacked, zip(waiting))


def _stacked(batches: Sequence[Features]) -> Features:
    return {name: tf.stack([each[name] for each in batches]) for name in batches[0]}


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


class _Position:
    """Where a run is: steps and batches done, the first loss and the best held-out one so far."""

    def __init__(self) -> None:
        self.step = HostNumber(0, np.int64)
        self.epoch = HostNumber(0, np.int64)
        self.batch = HostNumber(0, np.int64)  # of the epoch
        self.first_loss = HostNumber(math.nan, np.float64)
        self.best_step = HostNumber(0, np.int64)
        self.best_loss = HostNumber(math.inf, np.float64)
        self.waited = HostNumber(0, np.int64)  # looks since the best one

    @property
    def numbers(self) -> list[HostNumber]:
        """All of it, in an order that is always the same."""
        return [
            self.step, self.epoch, self.batch, self.first_loss, self.best_step, self.best_loss,
            self.waited,
        ]  # fmt: skip

    def is_best(self, loss: float) -> bool:
        """Takes the held-out loss of the step at hand in; whether it is the lowest so far."""
        if loss < float(self.best_loss):
            self.best_loss.assign(loss)
            self.best_step.assign(self.step)
            self.waited.assign(0)
            return True
        self.waited.assign(int(self.waited) + 1)
        return False

    def out_of(self, patience: int) -> bool:
        """Whether so many looks in a row, if any, found nothing better."""
        return 0 < patience <= int(self.waited)
