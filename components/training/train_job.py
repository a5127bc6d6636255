"""Runs a training job in this process: builds the model, loads initial weights, and trains."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from components.examples.baseline_counts import StoredCounts
from components.layout import TOKENIZER_FOLDER
from components.training.job import TrainingJob
from models.errors import ConfigError, Preempted
from models.memory import keep_freed_memory
from models.objective import Objective
from models.registry import FAMILIES
from models.settings import from_json
from models.tokenizers.tokenizer import Tokenizer
from models.training.batches import example_batches
from models.training.config import DevicesConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss
from models.training.loop import train
from models.training.metrics import TrainingResult
from models.training.platform import with_xla_chosen

_log = logging.getLogger("polyseme.trainer")


class BuiltModel(NamedTuple):
    """A model with its initial weights."""

    model: Any
    objective: Objective
    tokenizer: Tokenizer


class TrainedModel(NamedTuple):
    """The outcome of a job; the model computes in float32, without a distribution strategy."""

    model: Any
    objective: Objective
    tokenizer: Tokenizer
    result: TrainingResult


def build_model(job: TrainingJob, devices: Devices) -> BuiltModel:
    """Builds the job's model with the weights that training starts from.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
    """
    keep_freed_memory()
    if devices.config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # frees the models that this process built before
    training = job.config
    config: Any = from_json(FAMILIES[job.family].config, job.model)
    config.check_training(training)  # a Tuner's candidate was only checked field by field
    with devices.scope():
        built = _new_model(job, training.seed, training.precision)
    if job.base_model:
        load_weights(built.model, job.base_model)
        _log.info(
            "warm start from %s: %d steps, peak learning rate %.3g",
            job.base_model,
            training.steps,
            training.optimizer.learning_rate,
        )
    else:
        _log.info("training starts with new weights")
        built.objective.initialize(built.model, StoredCounts(job.examples))
    return built


def _new_model(job: TrainingJob, seed: int, precision: str) -> BuiltModel:
    family = FAMILIES[job.family]
    config: Any = from_json(family.config, job.model)
    tokenizer = family.tokenizer.load(pathlib.Path(job.examples) / TOKENIZER_FOLDER)
    objective = family.build_objective(config.objective, tokenizer)
    keras.utils.set_random_seed(seed)
    with _dtype_policy(precision):
        model = objective.build_model(family.build_backbone(config.backbone, tokenizer))
    return BuiltModel(model, objective, tokenizer)


def train_job(job: TrainingJob, devices: Devices | None = None) -> TrainedModel:
    """Trains a job, resuming from the last checkpoint in its folder if there is one.

    Args:
        job: the job.
        devices: this process's devices; None for those that the job names.

    Raises:
        ConfigError: the base model doesn't fit the configuration, or there are no such devices.
        TrainingDiverged: see `models.training.loop.train`.
        Preempted: the process received SIGTERM, or another process of this training is gone or
            has another job.
    """
    devices = devices or Devices(from_json(DevicesConfig, job.devices))
    with devices.report_lost_process():
        _check_same_job(job, devices)
    training = job.config
    model, objective, tokenizer = build_model(job, devices)
    training = with_xla_chosen(training, FAMILIES[job.family].xla_pays_on, model, devices)
    spec = objective.feature_spec()
    batches = example_batches(
        job.train_files, training, spec, objective.streams, devices, objective.prepare
    )
    held_out = None
    if training.eval_steps:
        held_out = HeldOutLoss(model, objective, job.eval_files, training, devices)
    result = train(model, objective, batches, training, job.folder, held_out, devices)
    if devices.config.strategy != "one" or training.precision != "float32":
        plain = _new_model(job, training.seed, "float32").model
        for variable, trained in zip(plain.variables, model.variables, strict=True):
            variable.assign(devices.first_replica(trained.value))
        model = plain
    return TrainedModel(model, objective, tokenizer, result)


def _check_same_job(job: TrainingJob, devices: Devices) -> None:
    """Checks that the chief has the same job: a killed run may have left another one behind.

    Raises:
        Preempted: the chief has another job.
    """
    number = int(job.key[:15], 16)  # 60 bits, which fit into an int64
    if devices.broadcast(number) != number:
        raise Preempted(
            "this process and the chief have different training jobs: a killed run left its job "
            "behind",
            where=str(job.folder),
            remedy="run the chief's command again",
        )


def log_result(result: TrainingResult) -> None:
    """Logs the steps, seconds and speed of a training."""
    _log.info(
        "trained %d steps in %.0f s (%s tokens/s)",
        result.steps - result.resumed_from,
        result.seconds,
        f"{result.tokens_per_second:,.0f}",
    )


@contextlib.contextmanager
def _dtype_policy(precision: str) -> Iterator[None]:
    """Sets Keras's dtype policy for the layers that are made in the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def load_weights(model: keras.Model, saved_model: str) -> None:
    """Loads the weights of an exported model into `model`.

    Raises:
        ConfigError: the exported model has other variables, or variables of another shape.
    """
    saved = tf.train.Checkpoint(model=model)
    weights = f"{saved_model}/variables/variables"
    try:
        # `read`, since `restore` expects a save_counter, which a SavedModel does not have.
        # `expect_partial`, or TensorFlow would warn that the export's other variables, such as the
        # baselines' tables, are not read: at the end of the process, after its last message.
        saved.read(weights).assert_existing_objects_matched().expect_partial()
        _assert_all_used(model, weights)
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            "the weights of the base model do not fit this configuration: "
            f"{str(error).splitlines()[0]:.300}",
            where=saved_model,
            remedy="keep the sizes of the blessed model, or give the run another name",
        ) from error


def _assert_all_used(model: keras.Model, weights: str) -> None:
    """Checks that an exported model has no weights that `model` lacks.

    Variables that are exported outside the model, such as the baselines' tables, are not weights.
    """
    shapes = tf.train.load_checkpoint(weights).get_variable_to_shape_map()
    num_saved = sum(name.startswith("model/") for name in shapes)
    # Not `model.variables`, which include the dropout layers' seeds: those are not exported.
    tracked = tf.train.TrackableView(model).descendants()
    num_expected = sum(isinstance(each, keras.Variable) for each in tracked)
    if num_saved != num_expected:
        raise AssertionError(f"it has {num_saved} weights, and this model has {num_expected}")
