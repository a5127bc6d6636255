"""A training job: what a Trainer is given, as plain data that other processes can be handed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from components.examples.baseline_counts import StoredCounts
from components.layout import EXAMPLES_CONTENT, TOKENIZER_FOLDER
from components.lineage.properties import fingerprint
from models.errors import ConfigError, Preempted
from models.memory import keep_freed_memory
from models.objective import Objective
from models.registry import FAMILIES
from models.settings import from_json
from models.tokenizers.tokenizer import Tokenizer
from models.training.batches import example_batches
from models.training.config import DevicesConfig, TrainingConfig
from models.training.devices import Devices
from models.training.example_index import read_index
from models.training.held_out import HeldOutLoss
from models.training.loop import train
from models.training.platform import with_xla_chosen
from models.training.record import TrainingResult
from models.training.warm_start import warm

_log = logging.getLogger("polyseme.trainer")


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What is trained, on what, and where.

    Attributes:
        family: its name in the registry.
        model, training: JSON of the settings that the weights depend on.
        unkeyed: JSON of the other settings of `TrainingConfig`, how often it is logged say.
        devices: JSON of the configuration.
        code: version of the code that trains.
        examples: an ExampleBuilder artifact's folder.
        train_files, eval_files: files of examples in it.
        base_model: the SavedModel whose weights training starts from, if any.
        checkpoints: the folder that this pipeline's checkpoints are kept in.
    """

    family: str
    model: str
    training: str
    unkeyed: str
    devices: str
    code: str
    examples: str
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]
    base_model: str | None
    checkpoints: str

    @functools.cached_property
    def name(self) -> str:
        """A hash of what the weights depend on: the bytes of the examples and of the base too.

        No place is in it, and no device: a run is resumed where it was moved to, and on others.
        """
        key = hashlib.sha256()
        training = json.loads(self.training)
        if not self.base_model:
            training.pop("warm_start", None)
        for part in (
            self.model,
            json.dumps(training, sort_keys=True),
            self.code,
            fingerprint(self.examples, EXAMPLES_CONTENT),
            # The index of the variables has a checksum of each.
            fingerprint(self.base_model, ["variables/variables.index"]) if self.base_model else "",
        ):
            key.update(hashlib.sha256(part.encode()).digest())
        return key.hexdigest()[:16]

    @property
    def config(self) -> TrainingConfig:
        """How to train, with all settings; from a base as `TrainingConfig.warm_start` has it."""
        settings = json.loads(self.training) | json.loads(self.unkeyed)
        config = from_json(TrainingConfig, json.dumps(settings))
        return warm(config, self.examples_to_train_on) if self.base_model else config

    @property
    def examples_to_train_on(self) -> int:
        """How many examples there are to train on."""
        return int(read_index(self.train_files).counts.sum())

    def with_seed(self, seed: int) -> TrainingJob:
        """The same with another seed, and with no other ones."""
        settings = json.loads(self.training) | {"seed": seed, "seeds": 1}
        return dataclasses.replace(self, training=json.dumps(settings, sort_keys=True))

    @property
    def folder(self) -> pathlib.Path:
        """Where its checkpoints are kept.

        TFX gives a retried Trainer new folders, and the run that was killed must be found again,
        on other devices too.
        """
        return pathlib.Path(self.checkpoints) / self.name


class Start(NamedTuple):
    """What training begins with."""

    model: Any
    objective: Objective
    tokenizer: Tokenizer


class Trained(NamedTuple):
    """What came of a job; the model is a plain one in float32, whatever it was trained on."""

    model: Any
    objective: Objective
    tokenizer: Tokenizer
    result: TrainingResult


def job_of(given: Mapping[str, Any], fn_args: Any) -> TrainingJob:
    """The job that TFX's arguments and their custom configuration describe.

    Args:
        given: the custom configuration, see components/training/component.py.
        fn_args: TFX's `FnArgs`.
    """
    train_files, eval_files = (
        tuple(sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern)))
        for patterns in (fn_args.train_files, fn_args.eval_files)
    )
    return TrainingJob(
        family=given["family"],
        model=given["model"],
        training=given["training"],
        unkeyed=given["unkeyed"]["training"],
        devices=given["unkeyed"]["devices"],
        code=given["code"],
        examples=str(pathlib.Path(train_files[0]).parent.parent),
        train_files=train_files,
        eval_files=eval_files,
        base_model=fn_args.base_model,
        checkpoints=given["unkeyed"]["folder"],
    )


def begin(job: TrainingJob, devices: Devices) -> Start:
    """Builds the model with the weights that training begins with.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
    """
    keep_freed_memory()
    if devices.config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # of the models that this process built before
    training = job.config
    config: Any = from_json(FAMILIES[job.family].config, job.model)
    config.check_training(training)  # a tuner's candidate was checked only field by field
    with devices.scope():
        start = _fresh(job, training.seed, training.precision)
    if job.base_model:
        warm_start(start.model, job.base_model)
        _log.info(
            "warm start from %s: %d steps, peak learning rate %.3g",
            job.base_model,
            training.steps,
            training.optimizer.learning_rate,
        )
    else:
        _log.info("training starts with new weights")
        start.objective.start(start.model, StoredCounts(job.examples))
    return start


def _fresh(job: TrainingJob, seed: int, precision: str) -> Start:
    family = FAMILIES[job.family]
    config: Any = from_json(family.config, job.model)
    tokenizer = family.tokenizer.load(pathlib.Path(job.examples) / TOKENIZER_FOLDER)
    objective = family.build_objective(config.objective, tokenizer)
    keras.utils.set_random_seed(seed)
    with _computing_in(precision):
        model = objective.build_model(family.build_backbone(config.backbone, tokenizer))
    return Start(model, objective, tokenizer)


def train_job(job: TrainingJob, devices: Devices | None = None) -> Trained:
    """Trains, or goes on with it, from the checkpoints in the job's folder.

    Args:
        devices: this process's; None: those that the job names.

    Raises:
        ConfigError: the base model doesn't fit the configuration, or there are no such devices.
        TrainingDiverged: see `models.training.loop.train`.
        Preempted: the process was asked to end, or another one that trains with it is gone or
            has another job.
    """
    devices = devices or Devices(from_json(DevicesConfig, job.devices))
    with devices.all_there():
        _same_job(job, devices)
    training = job.config
    model, objective, tokenizer = begin(job, devices)
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
        plain = _fresh(job, training.seed, "float32").model
        for variable, trained in zip(plain.variables, model.variables, strict=True):
            variable.assign(devices.first(trained.value))
        model = plain
    return Trained(model, objective, tokenizer, result)


def _same_job(job: TrainingJob, devices: Devices) -> None:
    """Sees to it that the chief trains the same, as a job that a killed run left may be another.

    Raises:
        Preempted: it does not.
    """
    number = int(job.name[:15], 16)  # of 60 bits, which an int64 holds
    if devices.agree(number) != number:
        raise Preempted(
            "this process was given another training than the chief's, as a job was left by a run "
            "that was killed",
            where=str(job.folder),
            remedy="give the chief's command again",
        )


def tell(result: TrainingResult) -> None:
    """Says how a run went."""
    _log.info(
        "trained %d steps in %.0f s (%s tokens/s)",
        result.steps - result.resumed_from,
        result.seconds,
        f"{result.tokens_per_second:,.0f}",
    )


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Makes layers that are made in the block compute in it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def warm_start(model: keras.Model, saved_model: str) -> None:
    """Gives `model` the weights of an exported one.

    Raises:
        ConfigError: the exported model has other variables, or variables of another shape.
    """
    saved = tf.train.Checkpoint(model=model)
    weights = f"{saved_model}/variables/variables"
    try:
        # read, not restore: that would ask a SavedModel for a checkpoint's save_counter
        saved.read(weights).assert_existing_objects_matched()
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
    names = tf.train.load_checkpoint(weights).get_variable_to_shape_map()
    saved = sum(name.startswith("model/") for name in names)
    # Not `model.variables`: the dropout layers' seeds are among these, and are not exported.
    tracked = tf.train.TrackableView(model).descendants()
    wanted = sum(isinstance(each, keras.Variable) for each in tracked)
    if saved != wanted:
        raise AssertionError(f"it has {saved} weights, this one {wanted}")
