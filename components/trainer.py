"""TFX's glue around training: artifacts in, an exported model and its training run out."""

import json
import pathlib
import shutil

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.exporter import export
from components.training_job import TrainingJob, tell, train_job
from components.training_processes import train_in_processes
from models.config import DevicesConfig, from_json
from models.devices import Devices


def run_fn(fn_args: FnArgs) -> None:
    """Trains a family's objective on the examples and exports the model with its tokenizer inside.

    `fn_args.custom_config` holds `family`, `model`, `training` and `devices` (JSON of the
    configurations), `config` (JSON of the whole pipeline's, exported as it is), `provenance` (JSON)
    and `checkpoints` (the folder that this pipeline's checkpoints are kept in).

    Raises:
        ConfigError: the base model doesn't fit the configuration.
        TrainingDiverged: the loss stopped being finite.
        Preempted: training was cut short and is saved.
    """
    given = fn_args.custom_config
    files = _files(fn_args.train_files)
    job = TrainingJob(
        family=given["family"],
        model=given["model"],
        training=given["training"],
        devices=given["devices"],
        provenance=given["provenance"],
        examples=str(pathlib.Path(files[0]).parent.parent),
        train_files=files,
        eval_files=_files(fn_args.eval_files),
        base_model=fn_args.base_model,
        checkpoints=given["checkpoints"],
    )
    devices = from_json(DevicesConfig, job.devices)
    if devices.strategy == "multi_worker":
        train_in_processes(job, devices.processes)
        trained = train_job(job, Devices())  # all is done, and lies in the last checkpoint
    else:
        trained = train_job(job)
        tell(trained.result)
    export(
        trained.model,
        trained.objective,
        trained.tokenizer,
        pathlib.Path(fn_args.serving_model_dir),
        config_json=given["config"],
        provenance=json.loads(given["provenance"]),
    )
    shutil.copytree(job.folder / "logs", fn_args.model_run_dir, dirs_exist_ok=True)


def _files(patterns: list[str]) -> tuple[str, ...]:
    return tuple(sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern)))
