"""TFX's Tuner: hyperparameters searched with KerasTuner, by the loss on held-out examples.

A trial is the training in small: the same first weights, seed and order of the examples, fewer
steps, and the schedule shrunk with them. What a trial came to is kept in a folder keyed by all that
it depends on. So a search that was killed is simply searched again: KerasTuner, which draws with a
seed, asks for the same trials, those that ended are read, and the one at work goes on from its
checkpoint. KerasTuner's own state is not used for that: it is not written whole or not at all, and
lacks the random state of the Bayesian search.
"""

import dataclasses
import json
import logging
import math
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import Trial as KerasTrial
from keras_tuner.errors import FailedTrialError, FatalError
from tfx import types
from tfx import v1 as tfx
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner import executor
from tfx.components.tuner.component import TunerFnResult
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils

from components.search_space import (
    configured,
    described,
    in_small,
    trial_steps,
    tunable_fields,
    tuned_space,
    with_values,
)
from components.storage.publish import write_whole
from components.training.job import TrainingJob, begin, job_of
from components.tuning.oracles import OBJECTIVE, build_oracle
from components.tuning.trials import Search, Trial
from components.tuning_config import TuningConfig, Value
from models.errors import ConfigError, PolysemeError, TrainingDiverged
from models.registry import FAMILIES
from models.settings import Affects, from_json
from models.training.batches import example_batches
from models.training.config import DevicesConfig, TrainingConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss
from models.training.loop import train
from models.training.platform import with_xla_chosen
from models.training.warm_start import warm

_log = logging.getLogger("polyseme.tuner")
_RESULT = "result.json"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """The search that TFX's Tuner is to carry out.

    `fn_args.custom_config` holds what the Trainer's does, with the folder of this pipeline's
    trials, and `tuning` (JSON of the configuration).

    Raises:
        ConfigError: the search space doesn't fit, or nothing is held out to judge trials by.
    """
    tuner = TrialTuner(fn_args)
    return TunerFnResult(tuner, {"verbose": 0})


class TrialTuner(base_tuner.BaseTuner):
    """Runs the trials that an oracle asks for.

    Args:
        fn_args: see `tuner_fn`.

    Attributes:
        found: what the search has come to.
    """

    def __init__(self, fn_args: FnArgs) -> None:
        given = fn_args.custom_config
        tuning = from_json(TuningConfig, given["tuning"])
        training = from_json(TrainingConfig, given["training"])
        model: Any = from_json(FAMILIES[given["family"]].config, given["model"])
        space = tuned_space(tuning, model, training)
        _require_held_out(fn_args)
        self._fn_args = fn_args
        devices = from_json(DevicesConfig, given["unkeyed"]["devices"])
        # Several processes train together only once; a trial is small.
        self._devices = Devices() if devices.strategy == "multi_worker" else Devices(devices)
        self._batch_size = training.batch_size  # the same held-out examples, whatever is tuned
        self._trials = tuning.trials
        self._fault: PolysemeError | None = None  # of the last trial that failed
        steps = trial_steps(tuning, training)
        if fn_args.base_model:  # no trial is longer than the training itself
            examples = job_of(given, fn_args).examples_to_train_on
            steps = min(steps, trial_steps(TuningConfig(1), warm(training, examples)))
        self.found = Search(
            tuning.algorithm,
            steps,
            tuple(each.field for each in space if each.log),
            (),
        )
        kinds = {name: kind for name, (kind, _) in tunable_fields(model, training).items()}
        oracle = build_oracle(tuning, space, kinds, configured(space, given))
        super().__init__(
            oracle, directory=fn_args.working_dir, project_name="search", overwrite=True
        )

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs trials until there are enough.

        Raises:
            TrainingDiverged, ConfigError: every trial failed, the last one so.
        """
        try:
            super().search(*args, **kwargs)
        except FatalError as error:
            raise error.__cause__ or error from None
        if self.found.best is None and self._fault:
            raise type(self._fault)(
                f"all {len(self.found.trials)} trials failed, the last one: {self._fault.what}",
                where=self._fault.where,
                remedy=self._fault.remedy,
            )

    def run_trial(self, trial: KerasTrial, **_: Any) -> dict[str, float]:
        """Trains with a candidate's values and gives its loss on held-out examples.

        Raises:
            FailedTrialError: the candidate is at fault; the search goes on.
            FatalError: anything else, which is its cause.
        """
        values = dict(trial.hyperparameters.values)
        number = len(self.found.trials) + 1
        _log.info("trial %d of %d: %s", number, self._trials, described(values))
        loss = None
        try:
            loss = self._loss(values)
        except (TrainingDiverged, ConfigError) as error:
            self._fault = error
        except Exception as error:  # KerasTuner would go on after any
            raise FatalError(str(error)) from error
        failure = _one_line(self._fault) if loss is None and self._fault else ""
        self.found = dataclasses.replace(
            self.found, trials=(*self.found.trials, Trial(number, values, loss, failure))
        )
        if loss is None:
            _log.warning("trial %d of %d failed: %s", number, self._trials, failure)
            raise FailedTrialError(failure)
        best = self.found.best
        _log.info(
            "trial %d of %d: held-out loss %.4f, %s",
            number,
            self._trials,
            loss,
            f"trial {best.number} has {best.loss:.4f}"
            if best and best.number != number
            else "the lowest so far",
        )
        return {OBJECTIVE: loss}

    def _loss(self, values: Mapping[str, Value]) -> float:
        """A candidate's loss on held-out examples; what ended before is not done again.

        Raises:
            TrainingDiverged: the training's loss or this one is not finite.
            ConfigError: the candidate's values do not fit together, or are too much for the device.
        """
        given = with_values(self._fn_args.custom_config, values)
        training = from_json(TrainingConfig, given["training"])
        job = self._job(given, in_small(training, self.found.steps))
        training = job.config
        folder = job.folder
        if (folder / _RESULT).exists():
            _log.info("it ended before")
            known = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        else:
            known = self._try(job, training, folder / "training") | {"values": values}
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(str(folder / _RESULT), [json.dumps(known, indent=2), "\n"])
        for leftover in (folder / "training").glob("ckpt-*"):  # as large as the model, each trial
            leftover.unlink()
        if known["diverged"]:
            raise TrainingDiverged(**known["diverged"])
        return known[OBJECTIVE]

    def _try(
        self, job: TrainingJob, training: TrainingConfig, folder: pathlib.Path
    ) -> dict[str, Any]:
        """What is to be known of a trial: its loss, or how it diverged."""
        try:
            loss = self._train(job, training, folder)
        except TrainingDiverged as error:
            return {"diverged": {"what": error.what, "where": error.where, "remedy": error.remedy}}
        except tf.errors.ResourceExhaustedError as error:
            if "OOM" not in str(error):  # a full disk, say
                raise
            raise ConfigError(
                "the device has too little memory",
                where="training.batch_size",
                remedy="give smaller ones, or a higher training.gradient_accumulation_steps",
            ) from error
        if not math.isfinite(loss):
            what = f"the loss on held-out examples is {loss}"
            return {"diverged": {"what": what, "remedy": "lower the learning rate"}}
        return {OBJECTIVE: loss, "diverged": None}

    def _train(self, job: TrainingJob, training: TrainingConfig, folder: pathlib.Path) -> float:
        model, objective, _ = begin(job, self._devices)
        pays_on = FAMILIES[job.family].xla_pays_on
        training = with_xla_chosen(training, pays_on, model, self._devices)
        spec = objective.feature_spec()
        batches = example_batches(
            job.train_files, training, spec, objective.streams, self._devices, objective.prepare
        )
        train(model, objective, batches, training, folder, devices=self._devices)
        judged = dataclasses.replace(training, batch_size=self._batch_size)
        return HeldOutLoss(model, objective, job.eval_files, judged, self._devices)()

    def _job(self, given: Mapping[str, Any], training: TrainingConfig) -> TrainingJob:
        """The training of a trial; its result depends on the size of the batches judged too."""
        settings = training.that_affect(Affects.EXAMPLES, Affects.WEIGHTS)
        return job_of(
            {
                **given,
                "training": json.dumps(settings, sort_keys=True),
                "code": f"{given['code']} judged in batches of {self._batch_size}",
            },
            self._fn_args,
        )


class Executor(executor.Executor):
    """TFX's executor, which also leaves all trials: `trials.json` among the tuner's results."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, and writes the best hyperparameters and what all trials came to."""
        working = self._get_tmp_dir()
        tuner = executor.search(input_dict, exec_properties, working, print_tuning_summary=False)
        executor.write_best_hyperparameters(tuner, output_dict)
        tuner.found.write(artifact_utils.get_single_uri(output_dict["tuner_results"]))
        shutil.rmtree(working, ignore_errors=True)


class Tuner(tfx.components.Tuner):
    """TFX's Tuner with `Executor`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def _require_held_out(fn_args: FnArgs) -> None:
    files = [name for pattern in fn_args.eval_files for name in tf.io.gfile.glob(pattern)]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(1)
    if not files or not list(records):
        raise ConfigError(
            "no example is held out, so that trials cannot be told apart",
            where="ingestion.eval_share",
            remedy="raise it, or give more text",
        )


def _one_line(error: PolysemeError) -> str:
    """Where something was wrong, and what; the remedy is to take another candidate."""
    return f"{error.where}: {error.what}" if error.where else error.what
