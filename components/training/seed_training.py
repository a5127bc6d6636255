"""Trains on the devices of a job, with one seed or with several (seeds.py)."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence

from components.examples.baseline_counts import StoredCounts
from components.training.job import Trained, TrainingJob, tell, train_job
from components.training.launcher import train_in_processes
from components.training.seed_results import LOSS, SeedRun, SeedRuns
from models.errors import TrainingDiverged
from models.settings import from_json
from models.training.config import DevicesConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss, no_examples

_log = logging.getLogger("polyseme.trainer")
_EVERY = 2**31 - 1  # batches, more than there are


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
    """Trains with each seed; one that fails is left out of the choice, and reported.

    Raises:
        TrainingDiverged: all of them did.
        ConfigError, Preempted: see `train_job`; also where no document is held out to choose by.
    """
    if not jobs[0].eval_files:
        raise no_examples()
    found: list[SeedRun] = []
    failed: TrainingDiverged | None = None
    for place, job in enumerate(jobs, 1):
        seed = job.config.seed
        _log.info("seed %d, %d of %d", seed, place, len(jobs))
        try:
            figures, failure = _judged(job, train_on_devices(job)), ""
        except TrainingDiverged as error:
            figures, failure, failed = {}, f"{error.where}: {error.what}", error
            _log.warning("seed %d failed: %s", seed, failure)
        else:
            _log.info('seed %d: loss %.4f on the split "eval"', seed, figures[LOSS])
        found.append(SeedRun(seed, figures, failure))
    if failed and not any(run.figures for run in found):
        raise failed
    runs = SeedRuns(tuple(found))
    mean, deviation = runs.spread[LOSS]
    _log.info("the best is seed %d; loss %.4f ± %.4f", runs.best.seed, mean, deviation)
    return runs


def _judged(job: TrainingJob, trained: Trained) -> dict[str, float]:
    """The loss and the metrics on all examples of the split "eval".

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    model, objective = trained.model, trained.objective
    objective.set_baseline(model, StoredCounts(job.examples))
    every = dataclasses.replace(job.config, eval_batches=_EVERY)
    metrics = objective.metrics()
    look = HeldOutLoss(model, objective, job.eval_files, every, metrics=metrics)
    figures = look.figures(LOSS)
    if not math.isfinite(figures[LOSS]):
        raise TrainingDiverged(
            f"the loss is {figures[LOSS]}",
            where='the split "eval"',
            remedy="lower the learning rate",
        )
    return figures
