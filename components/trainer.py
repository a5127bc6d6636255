"""TFX's glue around models/training.py: artifacts in, an exported model and its training run out.

The checkpoints live outside the artifacts, in a folder keyed by everything the weights depend on:
TFX gives a retried Trainer new folders, and the run that was killed must be found again.
"""

import hashlib
import json
import logging
import pathlib
import shutil
from typing import Any

import keras
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.example_generation import EXAMPLES_FILE, TOKENIZER_FOLDER
from components.exporter import export
from models.config import TrainingConfig, from_json
from models.errors import ConfigError
from models.examples import parse
from models.held_out import HeldOutLoss
from models.memory import keep_freed_memory
from models.objective import numeric_features
from models.registry import FAMILIES
from models.training import example_batches, train

_log = logging.getLogger("polyseme.trainer")


def run_fn(fn_args: FnArgs) -> None:
    """Trains a family's objective on the examples and exports the model with its tokenizer inside.

    `fn_args.custom_config` holds `family`, `model` and `training` (JSON of the configurations),
    `config` (JSON of the whole pipeline's, exported as it is), `provenance` (JSON) and
    `checkpoints` (the folder that this pipeline's checkpoints are kept in).

    Raises:
        ConfigError: the base model doesn't fit the configuration.
        TrainingDiverged: the loss stopped being finite.
    """
    given = fn_args.custom_config
    family = FAMILIES[given["family"]]
    config: Any = from_json(family.config, given["model"])
    training = from_json(TrainingConfig, given["training"])
    files = sorted(name for pattern in fn_args.train_files for name in tf.io.gfile.glob(pattern))
    examples = pathlib.Path(files[0]).parent.parent
    tokenizer = family.tokenizer.load(examples / TOKENIZER_FOLDER)
    objective = family.build_objective(config.objective, tokenizer)

    keep_freed_memory()
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(training.seed)
    model = objective.build_model(family.build_backbone(config.backbone, tokenizer))
    if fn_args.base_model:
        warm_start(model, fn_args.base_model)
        _log.info("warm start from %s", fn_args.base_model)
    spec = numeric_features(objective.feature_spec())
    objective.set_baseline(
        model,
        tf.data.TFRecordDataset(files, compression_type="GZIP")
        .batch(1024)
        .map(lambda serialized: parse(serialized, spec)),
    )
    key = hashlib.sha256()
    for part in (
        given["model"],
        given["training"],
        given["provenance"],
        (examples / EXAMPLES_FILE).read_text(encoding="utf-8"),
        fn_args.base_model or "",
    ):
        key.update(hashlib.sha256(part.encode()).digest())
    folder = pathlib.Path(given["checkpoints"]) / key.hexdigest()[:16]
    batches = example_batches(files, training, objective.streams)
    held_out = None
    if training.held_out_steps:
        others = [name for pattern in fn_args.eval_files for name in tf.io.gfile.glob(pattern)]
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
