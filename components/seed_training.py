"""Trains on the devices of a job, with one seed or with several; see components/seeds.py."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from components.baseline_counts import StoredCounts
from components.seeds import LOSS, SeedRun, SeedRuns
from components.training_job import Trained, TrainingJob, tell, train_job
from components.training_processes import train_in_processes
from models.config import DevicesConfig, from_json
from models.devices import Devices
from models.errors import TrainingDiverged
from models.held_out import HeldOutLoss

_log = logging.getLogger("polyseme.trainer")
_EVERY = 2**40  # batches, more than there are


def train_on_devices(job: TrainingJob) -> Trained:
    """Trains on the devices that the job names.

    Raises:
        ConfigError, TrainingDiverged, Preempted: see `train_job`.
    """
    devices = from_json(DevicesConfig, job.devices)
    if devices.strategy == "multi_worker":
        train_in_processes(job, devices.processes)
        return train_job(job, Devices())  # all is done, and lies in the last checkpoint
    trained = train_job(job)
    tell(trained.result)
    return trained


def train_all(jobs: Sequence[TrainingJob]) -> SeedRuns:
    """Trains with each seed; one that diverged is left out of the choice, and told of.

    Raises:
        TrainingDiverged: all of them did.
        ConfigError, Preempted: see `train_job`.
    """
    found: list[SeedRun] = []
    for place, job in enumerate(jobs, 1):
        seed = job.config.seed
        _log.info("seed %d, %d of %d", seed, place, len(jobs))
        try:
            figures, failure = _judged(job, train_on_devices(job)), ""
        except TrainingDiverged as error:
            if place == len(jobs) and not any(run.figures for run in found):
                raise
            figures, failure = {}, f"{error.where}: {error.what}"
            _log.warning("seed %d failed: %s", seed, failure)
        else:
            _log.info('seed %d: loss %.4f on the split "eval"', seed, figures[LOSS])
        found.append(SeedRun(seed, figures, failure))
    runs = SeedRuns(tuple(found))
    mean, deviation = runs.spread[LOSS]
    _log.info("the best is seed %d; loss %.4f ± %.4f", runs.best.seed, mean, deviation)
    return runs


def _judged(job: TrainingJob, trained: Trained) -> dict[str, float]:
    """The loss and the metrics on all examples of the split "eval"."""
    model, objective = trained.model, trained.objective
    objective.set_baseline(model, StoredCounts(job.examples))
    every = dataclasses.replace(job.config, held_out_batches=_EVERY)
    metrics = objective.metrics()
    return HeldOutLoss(model, objective, job.eval_files, every, metrics=metrics).figures(LOSS)
