"""TFX's glue around training: artifacts in, an exported model and its training run out."""

import json
import logging
import pathlib
import shutil

from tfx.components.trainer.fn_args_utils import FnArgs

from components.baseline_counts import StoredCounts
from components.exporter import export
from components.search_space import described, with_values
from components.training_job import job_of, tell, train_job
from components.training_processes import train_in_processes
from models.config import DevicesConfig, from_json
from models.devices import Devices

_log = logging.getLogger("polyseme.trainer")


def run_fn(fn_args: FnArgs) -> None:
    """Trains a family's objective on the examples and exports the model with its tokenizer inside.

    `fn_args.custom_config` holds `family`, `model`, `training` and `devices` (JSON of the
    configurations), `config` (JSON of the whole pipeline's, exported as it is), `provenance` (JSON)
    and `checkpoints` (the folder that this pipeline's checkpoints are kept in). What the Tuner
    found, `fn_args.hyperparameters`, takes the place of the fields that it tuned in all of them.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
        TrainingDiverged: see `models.training.train`.
        Preempted: training was cut short and is saved.
    """
    values = (fn_args.hyperparameters or {}).get("values", {})
    given = with_values(fn_args.custom_config, values)
    if values:
        _log.info("tuned: %s", described(values))
    job = job_of(given, fn_args, given["checkpoints"])
    devices = from_json(DevicesConfig, job.devices)
    if devices.strategy == "multi_worker":
        train_in_processes(job, devices.processes)
        trained = train_job(job, Devices())  # all is done, and lies in the last checkpoint
    else:
        trained = train_job(job)
        tell(trained.result)
    trained.objective.set_baseline(trained.model, StoredCounts(job.examples))
    export(
        trained.model,
        trained.objective,
        trained.tokenizer,
        pathlib.Path(fn_args.serving_model_dir),
        config_json=given["config"],
        provenance=json.loads(given["provenance"]),
    )
    shutil.copytree(job.folder / "logs", fn_args.model_run_dir, dirs_exist_ok=True)
