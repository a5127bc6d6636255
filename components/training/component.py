"""TFX's Trainer: trains a model on the examples, and exports it with its tokenizer inside."""

import json
import logging
import pathlib
import shutil
from typing import Any

from tfx import types
from tfx import v1 as tfx
from tfx.components.trainer import executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils

from components.examples.baseline_counts import StoredCounts
from components.layout import EXPORTED
from components.lineage.model_origin import write_origin
from components.search_space import describe_values, with_values
from components.serving.export import export
from components.training.job import job_from_fn_args
from components.training.seed_training import train_all, train_on_devices
from components.training.train_job import train_job
from models.training.devices import Devices
from models.training.layout import LOGS_FOLDER

_log = logging.getLogger("polyseme.trainer")


def run_fn(fn_args: FnArgs) -> None:
    """Trains a family's objective on the examples and exports the model.

    `fn_args.custom_config` holds `family`, `model` and `training` (JSON of the settings that the
    weights depend on), `config` (JSON of the whole pipeline's configuration, which is exported as
    it is) and `code`. The Tuner's best values, `fn_args.hyperparameters`, replace the fields that
    were tuned in all of these. The entry `unkeyed` holds what is in no cache key: `training` (JSON
    of the other settings), `devices`, `provenance` (JSON) and `folder`, which holds this pipeline's
    checkpoints. With `training.seeds` above 1, one model is trained for each seed, and the best is
    exported; see components/training/seed_results.py.

    Raises:
        ConfigError: the base model doesn't fit the configuration.
        TrainingDiverged: see `models.training.loop.train`.
        Preempted: training was interrupted and saved a checkpoint.
    """
    tuned = (fn_args.hyperparameters or {}).get("values", {})
    custom_config = with_values(fn_args.custom_config, tuned)
    if tuned:
        _log.info("tuned: %s", describe_values(tuned))
    job = job_from_fn_args(custom_config, fn_args)
    seeds = job.config.seeds
    jobs = [job.with_seed((job.config.seed + place) % 2**32) for place in range(seeds)]
    runs = None
    if seeds == 1:
        (job,) = jobs
        trained = train_on_devices(job)
    else:
        runs = train_all(jobs)
        job = job.with_seed(runs.best.seed)
        trained = train_job(job, Devices())  # loads the last checkpoint: nothing is left to train
    trained.objective.fill_baselines(trained.model, StoredCounts(job.examples))
    provenance = json.loads(custom_config["unkeyed"]["provenance"])
    export(
        trained.model,
        trained.objective,
        trained.tokenizer,
        pathlib.Path(fn_args.serving_model_dir),
        config_json=custom_config["config"],
        provenance=provenance | {"seed": job.config.seed},
    )
    shutil.copytree(job.folder / LOGS_FOLDER, fn_args.model_run_dir, dirs_exist_ok=True)
    if runs:
        runs.write(fn_args.model_run_dir)
    for each in jobs:
        if each.folder.is_dir():
            (each.folder / EXPORTED).touch()


class Executor(executor.GenericExecutor):
    """TFX's executor, which also records the model's origin in ML Metadata."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains, and gives the model the properties that the resolvers read."""
        super().Do(input_dict, output_dict, exec_properties)
        custom_config = json.loads(exec_properties["custom_config"])
        provenance = json.loads(custom_config["unkeyed"]["provenance"])
        base = input_dict.get("base_model") or [None]
        write_origin(
            artifact_utils.get_single_instance(output_dict["model"]),
            span=provenance["span"],
            fingerprint=provenance["fingerprint"],
            test_share=json.loads(custom_config["config"])["ingestion"]["test_share"],
            examples=artifact_utils.get_single_instance(input_dict["examples"]),
            base=base[0],
        )


class Trainer(tfx.components.Trainer):
    """TFX's Trainer with `Executor`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
