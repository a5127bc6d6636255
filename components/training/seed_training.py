"""Trains a job on its devices, with one seed or with several."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence

from components.examples.baseline_counts import StoredCounts
from components.training.job import TrainingJob
from components.training.launcher import train_in_processes
from components.training.seed_results import LOSS, SeedRun, SeedRuns
from components.training.train_job import TrainedModel, log_result, train_job
from models.errors import TrainingDiverged
from models.settings import from_json
from models.training.config import DevicesConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss, no_examples

_log = logging.getLogger("polyseme.trainer")
_ALL_BATCHES = 2**31 - 1


def train_on_devices(job: TrainingJob) -> TrainedModel:
    """Trains a job on the devices that it names.

    Raises:
        ConfigError, TrainingDiverged, Preempted: see `train_job`.
    """
    devices = from_json(DevicesConfig, job.devices)
    if devices.strategy == "multi_worker":
        train_in_processes(job, devices.processes)
        return train_job(job, Devices())  # loads the last checkpoint: nothing is left to train
    trained = train_job(job)
    log_result(trained.result)
    return trained


def train_all(jobs: Sequence[TrainingJob]) -> SeedRuns:
    """Trains with each seed; a training that diverges is reported and cannot be chosen.

    Args:
        jobs: jobs that differ only in their seed.

    Raises:
        TrainingDiverged: all of them diverged.
        ConfigError, Preempted: see `train_job`; ConfigError also if no document is held out to
            choose by.
    """
    if not jobs[0].eval_files:
        raise no_examples()
    done: list[SeedRun] = []
    last_error: TrainingDiverged | None = None
    for place, job in enumerate(jobs, 1):
        seed = job.config.seed
        _log.info("seed %d, %d of %d", seed, place, len(jobs))
        try:
            metrics, failure = _evaluate(job, train_on_devices(job)), ""
        except TrainingDiverged as error:
            metrics, failure, last_error = {}, f"{error.where}: {error.what}", error
            _log.warning("seed %d failed: %s", seed, failure)
        else:
            _log.info('seed %d: loss %.4f on the split "eval"', seed, metrics[LOSS])
        done.append(SeedRun(seed, metrics, failure))
    if last_error and not any(run.metrics for run in done):
        raise last_error
    runs = SeedRuns(tuple(done))
    mean, deviation = runs.spread[LOSS]
    _log.info("the best is seed %d; loss %.4f ± %.4f", runs.best.seed, mean, deviation)
    return runs


def _evaluate(job: TrainingJob, trained: TrainedModel) -> dict[str, float]:
    """The loss and the metrics on all examples of the split "eval".

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    model, objective = trained.model, trained.objective
    objective.fill_baselines(model, StoredCounts(job.examples))
    config = dataclasses.replace(job.config, eval_batches=_ALL_BATCHES)
    reported = objective.config.metrics()
    held_out = HeldOutLoss(model, objective, job.eval_files, config, metrics=reported)
    metrics = held_out.metrics(LOSS)
    if not math.isfinite(metrics[LOSS]):
        raise TrainingDiverged(
            f"the loss is {metrics[LOSS]}",
            where='the split "eval"',
            remedy="lower the learning rate",
        )
    return metrics
