"""The training loop: deterministic order, exact resume, and the loss of the whole batch.

A run is a pure function of (initial weights, examples, configuration). Killed at any moment and
started again with the same arguments, it ends with bit-identical weights, because a checkpoint
holds the variables of the model and the optimizer, the dropout layers' seeds and the position in
the data.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import threading
from collections.abc import Callable

import keras
import tensorflow as tf

from models.errors import ConfigError
from models.objective import Objective
from models.training.batches import Batches
from models.training.best_weights import BestWeights
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features
from models.training.evaluation import Evaluation
from models.training.executions import executions
from models.training.layout import LOGS_FOLDER
from models.training.metrics import Outputs, TrainingMetrics, TrainingResult
from models.training.optimizer import build_optimizer
from models.training.platform import log_platform, platform
from models.training.profile import TrainingProfile
from models.training.run_checkpoints import RunCheckpoints
from models.training.run_state import RunState
from models.training.step import compile_steps
from models.training.termination import catch_sigterm, preempted
from models.training.throughput import StepCost

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
    """Trains `model` for `config.steps` steps; resumes from the newest checkpoint in `folder`.

    With `config.eval_steps` the model ends with the weights of the lowest held-out loss.

    Args:
        model: from `objective.build_model`, with its initial weights, made in `devices.scope()`.
        objective: what is learned.
        batches: see `models.training.batches`.
        config: `jit_compile` must not be "auto"; see `models.training.platform`.
        folder: belongs to this run alone, and all processes see it. Receives checkpoints; in
            `best/` the weights of the lowest held-out loss; in `logs/` TensorBoard's events,
            `platform.jsonl` and `training.jsonl`. The latter has one JSON object per record: step,
            loss, the loss's terms, learning_rate, gradient_norm, tokens_per_second, padding_share,
            matmul_utilization, seconds, and held_out_loss where the model was evaluated. Only the
            chief writes here; the other processes write logs to `logs/worker-<n>`.
        held_out: returns the loss on held-out examples; see `models.training.held_out`.
        devices: where to compute; None: on one device.

    Raises:
        ConfigError: an epoch has no whole batch, or the batch cannot be divided equally.
        TrainingDiverged: the loss or the gradient is not finite, or the loss has risen too far.
            The message names the file of the batch.
        Preempted: a process received SIGTERM. The current step was finished and saved.
    """
    if config.patience and not held_out:
        raise ConfigError(
            "early stopping needs held-out examples, and there are none",
            where="training.patience",
            remedy="raise ingestion.eval_share, or set training.patience to 0",
        )
    devices = devices or Devices()
    with devices.report_lost_process():
        return _Run(model, objective, config, folder, held_out, devices).train(batches)


class _Run:
    """The parts of a training run, and the loop that drives them."""

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        config: TrainingConfig,
        folder: pathlib.Path,
        held_out: Callable[[], float] | None,
        devices: Devices,
    ) -> None:
        optimizer = _make_optimizer(model, config, devices)
        self._config = config
        self._devices = devices
        self._run_steps = compile_steps(model, objective, optimizer, config, devices)
        self._state = RunState(config.steps, config.patience)
        variables = [*model.variables, *optimizer.variables]
        self._checkpoints = RunCheckpoints(folder, self._state, variables, config, devices)
        resumed_from = self._checkpoints.restore()
        if resumed_from:
            _log.info("resumed from step %d of %d", resumed_from, config.steps)
        best = BestWeights(folder / "best", self._state, model.variables, devices)
        self._evaluation = Evaluation(held_out, config.eval_steps, self._state, best)
        logs = folder / LOGS_FOLDER
        if not devices.chief:
            logs /= f"worker-{devices.worker}"
        if resumed_from < config.steps:
            log_platform(logs, platform(resumed_from, config, devices))
        self._metrics = TrainingMetrics(
            logs, resumed_from, config.steps, _step_cost(model, objective, config, devices),
            max_loss_rise=config.max_loss_rise, first_loss=self._state.first_loss,
        )  # fmt: skip
        self._profile = TrainingProfile(logs)

    def train(self, batches: Batches) -> TrainingResult:
        """Trains until the run is finished."""
        state, devices, best = self._state, self._devices, self._evaluation.best
        with (
            contextlib.closing(self._checkpoints),
            contextlib.closing(best),
            contextlib.closing(self._profile),
            catch_sigterm() as sigterm,
        ):
            steps_per_execution = devices.config.steps_per_execution
            for features in executions(
                batches, state, self._config.batch_size, steps_per_execution
            ):
                terminating = self._execute(features, sigterm)
                if terminating or state.finished or self._checkpoints.due:
                    self._metrics.check()  # weights that are not finite must never be saved
                    self._checkpoints.save(after=best.checkpoints)
                if terminating and not state.finished:
                    self._checkpoints.close()
                    devices.broadcast(int(state.step))
                    raise preempted(int(state.step), state.steps)
        self._metrics.close(int(state.step))
        devices.broadcast(int(state.step))  # waits until the chief has written all files
        if sigterm.is_set() and devices.workers == 1:  # several: their launcher reports it
            raise preempted(int(state.step), state.steps)
        best.restore()
        return self._metrics.result()

    def _execute(self, features: Features, sigterm: threading.Event) -> bool:
        """Runs the steps of one execution, evaluates and logs; returns whether to terminate."""
        before = int(self._state.step)
        with self._profile.execution(before):
            outputs = self._run_steps(features, sigterm.is_set())
        step = self._state.advance(len(outputs["loss"]))
        self._metrics.add(before, features, outputs)
        terminating = self._termination_requested(sigterm, outputs)
        evaluated = self._evaluation.run_if_due(before, self._metrics)
        interval = self._config.log_steps
        if evaluated or self._state.finished or step // interval > before // interval:
            self._metrics.write(step)
        return terminating

    def _termination_requested(self, sigterm: threading.Event, outputs: Outputs) -> bool:
        """Whether the run ends after these steps because a process received SIGTERM.

        Several processes must end at the same step and for the same reason. So they read the
        number of requests from the steps' outputs, which are equal in all of them.
        """
        if self._devices.workers == 1:
            return sigterm.is_set()
        self._metrics.check()
        return bool(tf.reduce_any(outputs["termination_requests"] > 0))


def _make_optimizer(
    model: keras.Model, config: TrainingConfig, devices: Devices
) -> keras.optimizers.Optimizer:
    with devices.scope():
        layerwise = config.optimizer.layerwise_lr_decay != 1.0
        layers = model.backbone.layer_variables if layerwise else ()
        optimizer = build_optimizer(config.optimizer, config.steps, layers)
        optimizer.build(model.trainable_variables)
    return optimizer


def _step_cost(
    model: keras.Model, objective: Objective, config: TrainingConfig, devices: Devices
) -> StepCost:
    """Six operations per multiply-add: two forward, and two for the gradient of each factor."""
    dtype = tf.bfloat16 if config.precision == "mixed_bfloat16" else tf.float32
    return StepCost(
        lambda length: 6.0 * config.batch_size * objective.multiply_adds(model, length),
        devices.matmul_rate(dtype),
    )
