"""A small training job, of a BERT with one layer."""

import collections
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.examples.baseline_counts import count_arrays, write_counts
from components.storage.shard_arrays import write_arrays
from components.training.job import TrainingJob
from models.bert.config import BertConfig
from models.bert.objective import BertObjective
from models.counts import Counting
from models.examples import Serializer
from models.training.config import DevicesConfig, OptimizerConfig, TrainingConfig
from tests.testdata import little_bert
from tests.testdata.example_files import index_files

CONFIG = dataclasses.replace(
    little_bert.CONFIG, backbone=dataclasses.replace(little_bert.CONFIG.backbone, num_layers=1)
)
TRAINING = TrainingConfig(
    steps=6, batch_size=8, jit_compile=False, checkpoint_seconds=0.0, log_steps=1,
    shuffle_buffer=64, eval_steps=3,
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=1),
)  # fmt: skip


def write_examples(folder: pathlib.Path) -> pathlib.Path:
    """Writes what a job reads of ExampleBuilder's folder: two files, counts and the tokenizer."""
    (folder / "Split-train").mkdir()
    tokenizer = little_bert.tokenizer()
    tokenizer.save(folder / "tokenizer")
    objective = BertObjective(little_bert.CONFIG.objective, tokenizer)
    counts = []
    for group in range(2):
        tables = collections.defaultdict(Counting)
        made = objective.make_examples(
            little_bert.documents(4, seed=group),
            np.random.default_rng(group),
            collections.Counter(),
        )
        path = str(folder / f"Split-train/examples-{group:05d}-of-00002.tfrecord.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for block in made:
                for table, keys in objective.count(block).items():
                    tables[table].add(keys)
                for serialized in Serializer(objective.feature_spec()).serialize_columns(block):
                    writer.write(serialized)
        arrays = count_arrays({table: counting.counts() for table, counting in tables.items()})
        path_of_counts = folder / f"counted-{group}"
        counts.append((path_of_counts, write_arrays(path_of_counts, arrays)))
    write_counts(str(folder), counts)
    index_files([str(path) for path in sorted((folder / "Split-train").iterdir())])
    (folder / "SHA256SUMS").write_text("c0ffee  Split-train/examples\n")
    return folder


def little_job(
    folder: pathlib.Path,
    examples: pathlib.Path,
    *,
    training: TrainingConfig = TRAINING,
    model: BertConfig = CONFIG,
    devices: DevicesConfig = DevicesConfig(),  # noqa: B008  frozen
    **fields: Any,
) -> TrainingJob:
    """A job with its checkpoints in `folder`; the held-out examples are the training examples."""
    files = tuple(str(path) for path in sorted((examples / "Split-train").iterdir()))
    defaults = {
        "family": "bert",
        "model": json.dumps(dataclasses.asdict(model)),
        "training": json.dumps(dataclasses.asdict(training)),
        "devices": json.dumps(dataclasses.asdict(devices)),
        "unkeyed": "{}",
        "code": "c0de",
        "examples": str(examples),
        "train_files": files,
        "eval_files": files,
        "base_model": None,
        "checkpoints": str(folder),
    }
    return TrainingJob(**{**defaults, **fields})


def arguments(
    folder: pathlib.Path,
    examples: pathlib.Path,
    *,
    attempt: str = "1",
    base_model: str | None = None,
    training: TrainingConfig = TRAINING,
    model: BertConfig = CONFIG,
    code: str = "c0de",
) -> FnArgs:
    """The arguments that TFX's Trainer passes; every attempt has output artifacts of its own."""
    return FnArgs(
        train_files=[str(examples / "Split-train" / "*")],
        eval_files=[str(examples / "Split-train" / "*")],
        serving_model_dir=str(folder / attempt / "Format-Serving"),
        model_run_dir=str(folder / attempt / "model_run"),
        base_model=base_model,
        custom_config={
            "family": "bert",
            "model": json.dumps(dataclasses.asdict(model)),
            "training": json.dumps(dataclasses.asdict(training)),
            "config": '{"name": "little"}',
            "code": code,
            "unkeyed": {
                "training": "{}",
                "devices": json.dumps(dataclasses.asdict(DevicesConfig())),
                "provenance": '{"span": 3}',
                "folder": str(folder / "checkpoints"),
            },
        },
    )
