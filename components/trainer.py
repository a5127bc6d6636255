"""TFX's glue around models/training.py: artifacts in, an exported model and its training run out.

The checkpoints live outside the artifacts, in a folder keyed by everything the weights depend on:
TFX gives a retried Trainer new folders, and the run that was killed must be found again.
"""

import hashlib
import json
import logging
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.example_generation import EXAMPLES_FILE, TOKENIZER_FOLDER
from components.exporter import export
from components.search_space import described, with_values
from models.config import TrainingConfig, from_json
from models.errors import ConfigError
from models.examples import parse
from models.held_out import HeldOutLoss
from models.memory import keep_freed_memory
from models.objective import Objective, numeric_features
from models.registry import FAMILIES
from models.tokenizers.tokenizer import Tokenizer
from models.training import example_batches, train

_log = logging.getLogger("polyseme.trainer")


def run_fn(fn_args: FnArgs) -> None:
    """Trains a family's objective on the examples and exports the model with its tokenizer inside.

    `fn_args.custom_config` holds `family`, `model` and `training` (JSON of the configurations),
    `config` (JSON of the whole pipeline's, exported as it is), `provenance` (JSON) and
    `checkpoints` (the folder that this pipeline's checkpoints are kept in). What the Tuner found,
    `fn_args.hyperparameters`, takes the place of the fields that it tuned in all three.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
        TrainingDiverged: the loss stopped being finite.
    """
    values = (fn_args.hyperparameters or {}).get("values", {})
    given = with_values(fn_args.custom_config, values)
    if values:
        _log.info("tuned: %s", described(values))
    training = from_json(TrainingConfig, given["training"])
    model, objective, tokenizer, files, others = begin(fn_args, given, training)
    spec = numeric_features(objective.feature_spec())
    objective.set_baseline(
        model,
        tf.data.TFRecordDataset(files, compression_type="GZIP")
        .batch(1024)
        .map(lambda serialized: parse(serialized, spec)),
    )
    examples = examples_folder(files)
    key = fingerprint(
        given["model"],
        given["training"],
        given["provenance"],
        (examples / EXAMPLES_FILE).read_text(encoding="utf-8"),
        fn_args.base_model or "",
    )
    folder = pathlib.Path(given["checkpoints"]) / key
    batches = example_batches(files, training, objective.streams)
    held_out = None
    if training.held_out_steps:
        held_out = HeldOutLoss(
            model, objective, others, training.batch_size, training.held_out_batches
        )
    result = train(model, objective, batches, training, folder, held_out)
    export(
        model,
        objective,
        tokenizer,
        pathlib.Path(fn_args.serving_model_dir),
        config_json=given["config"],
        provenance=json.loads(given["provenance"]),
    )
    shutil.copytree(folder / "logs", fn_args.model_run_dir, dirs_exist_ok=True)
    _log.info(
        "trained %d steps in %.0f s (%s tokens/s)",
        result.steps - result.resumed_from,
        result.seconds,
        f"{result.tokens_per_second:,.0f}",
    )


class Start(NamedTuple):
    """What a training begins with; the files are those of the examples and of the held-out ones."""

    model: keras.Model
    objective: Objective
    tokenizer: Tokenizer
    files: list[str]
    held_out: list[str]


def begin(fn_args: FnArgs, given: Mapping[str, Any], training: TrainingConfig) -> Start:
    """Builds the model with the weights that training begins with; the Tuner begins so as well.

    Args:
        fn_args: the files and the base model.
        given: `family` and `model` of `run_fn`'s custom configuration.
        training: its seed is that of the first weights.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
    """
    family = FAMILIES[given["family"]]
    config: Any = from_json(family.config, given["model"])
    files, held_out = (
        sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
        for patterns in (fn_args.train_files, fn_args.eval_files)
    )
    tokenizer = family.tokenizer.load(examples_folder(files) / TOKENIZER_FOLDER)
    objective = family.build_objective(config.objective, tokenizer)
    keep_freed_memory()
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # of the models that this process built before
    keras.utils.set_random_seed(training.seed)
    model = objective.build_model(family.build_backbone(config.backbone, tokenizer))
    if fn_args.base_model:
        warm_start(model, fn_args.base_model)
        _log.info("warm start from %s", fn_args.base_model)
    return Start(model, objective, tokenizer, files, held_out)


def examples_folder(files: Sequence[str]) -> pathlib.Path:
    """The folder of the examples that these files are of."""
    return pathlib.Path(files[0]).parent.parent


def fingerprint(*parts: str) -> str:
    """A name for the folder of a training, of all that its weights depend on."""
    key = hashlib.sha256()
    for part in parts:
        key.update(hashlib.sha256(part.encode()).digest())
    return key.hexdigest()[:16]


def warm_start(model: keras.Model, saved_model: str) -> None:
    """Gives `model` the weights of an exported one.

    Raises:
        ConfigError: the exported model has other variables, or variables of another shape.
    """
    saved = tf.train.Checkpoint(model=model)
    try:
        # read, not restore: that would ask a SavedModel for a checkpoint's save_counter
        saved.read(f"{saved_model}/variables/variables").assert_consumed()
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            "the weights of the base model do not fit this configuration: "
            f"{str(error).splitlines()[0]:.300}",
            where=saved_model,
            remedy="keep the sizes of the blessed model, or give the run another name",
        ) from error
