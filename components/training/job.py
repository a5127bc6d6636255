"""A training job as plain data, which can be handed to other processes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.layout import EXAMPLES_CONTENT
from components.lineage.properties import fingerprint
from models.settings import from_json
from models.training.config import TrainingConfig
from models.training.example_index import read_index
from models.training.warm_start import adapt_to_warm_start


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What is trained, on which examples, and where its checkpoints are kept.

    Attributes:
        family: the family's name in the registry.
        model, training: JSON of the settings that the weights depend on.
        unkeyed: JSON of the other settings of `TrainingConfig`, such as `log_steps`.
        devices: JSON of `DevicesConfig`.
        code: version of the code that trains.
        examples: folder of ExampleBuilder's Examples artifact.
        train_files, eval_files: files of examples in that folder.
        base_model: the SavedModel whose weights training starts from; None for new weights.
        checkpoints: folder of all of the pipeline's checkpoints.
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
    def key(self) -> str:
        """A hash of all that the weights depend on, such as the bytes of examples and base model.

        No path and no device is part of it, so a run can be resumed in another place and on other
        devices.
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
            # The index of the variables holds a checksum of each of them.
            fingerprint(self.base_model, ["variables/variables.index"]) if self.base_model else "",
        ):
            key.update(hashlib.sha256(part.encode()).digest())
        return key.hexdigest()[:16]

    @property
    def config(self) -> TrainingConfig:
        """All training settings; with a base model, changed as `TrainingConfig.warm_start` says."""
        settings = json.loads(self.training) | json.loads(self.unkeyed)
        config = from_json(TrainingConfig, json.dumps(settings))
        return adapt_to_warm_start(config, self.num_examples) if self.base_model else config

    @property
    def num_examples(self) -> int:
        """Number of training examples."""
        return int(read_index(self.train_files).counts.sum())

    def with_seed(self, seed: int) -> TrainingJob:
        """The same job with another seed, and with that seed only."""
        settings = json.loads(self.training) | {"seed": seed, "seeds": 1}
        return dataclasses.replace(self, training=json.dumps(settings, sort_keys=True))

    @property
    def folder(self) -> pathlib.Path:
        """Folder of the job's checkpoints.

        TFX gives a retried Trainer new output folders. Checkpoints are therefore kept elsewhere,
        where the retry finds them, also on other devices.
        """
        return pathlib.Path(self.checkpoints) / self.key


def job_from_fn_args(custom_config: Mapping[str, Any], fn_args: Any) -> TrainingJob:
    """The job that TFX's arguments to a Trainer or Tuner describe.

    Args:
        custom_config: `fn_args.custom_config`, or a changed copy of it; see
            components/training/component.py.
        fn_args: TFX's `FnArgs`.
    """
    train_files, eval_files = (
        tuple(sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern)))
        for patterns in (fn_args.train_files, fn_args.eval_files)
    )
    return TrainingJob(
        family=custom_config["family"],
        model=custom_config["model"],
        training=custom_config["training"],
        unkeyed=custom_config["unkeyed"]["training"],
        devices=custom_config["unkeyed"]["devices"],
        code=custom_config["code"],
        examples=str(pathlib.Path(train_files[0]).parent.parent),
        train_files=train_files,
        eval_files=eval_files,
        base_model=fn_args.base_model,
        checkpoints=custom_config["unkeyed"]["folder"],
    )
