"""TFX's Tuner: searches hyperparameters with KerasTuner, by the loss on held-out examples.

A trial is a short training: the same initial weights, seed and order of the examples, fewer steps,
and a schedule that shrinks in proportion. The outcome of a trial is kept in a folder keyed by
everything it depends on. A killed search is therefore simply run again: KerasTuner, whose draws
have a seed, asks for the same trials. Those that are complete are read from their folders, and the
interrupted one resumes from its checkpoint. KerasTuner's own state is not used for that: it is not
written atomically, and lacks the random state of the Bayesian search.
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
    configured_values,
    describe_values,
    search_space,
    trial_steps,
    trial_training,
    tunable_fields,
    with_values,
)
from components.storage.publish import write_whole
from components.training.job import TrainingJob, job_from_fn_args
from components.training.train_job import build_model
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
from models.training.warm_start import adapt_to_warm_start

_log = logging.getLogger("polyseme.tuner")
_RESULT = "result.json"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """The search that TFX's Tuner runs.

    `fn_args.custom_config` has the Trainer's entries, with the folder of this pipeline's trials
    instead of the folder of checkpoints, and `tuning` (JSON of `TuningConfig`).

    Raises:
        ConfigError: the search space doesn't fit the configuration, or no example is held out to
            compare trials by.
    """
    tuner = TrialTuner(fn_args)
    return TunerFnResult(tuner, {"verbose": 0})


class TrialTuner(base_tuner.BaseTuner):
    """Runs the trials that an oracle asks for.

    Args:
        fn_args: see `tuner_fn`.

    Attributes:
        results: the trials so far.
    """

    def __init__(self, fn_args: FnArgs) -> None:
        _check_held_out(fn_args)
        settings = fn_args.custom_config
        tuning = from_json(TuningConfig, settings["tuning"])
        training = from_json(TrainingConfig, settings["training"])
        model: Any = from_json(FAMILIES[settings["family"]].config, settings["model"])
        devices = from_json(DevicesConfig, settings["unkeyed"]["devices"])
        self._fn_args = fn_args
        # Several processes can train together only once, and a trial is small.
        self._devices = Devices() if devices.strategy == "multi_worker" else Devices(devices)
        self._eval_batch_size = training.batch_size  # so all trials have the same held-out examples
        self._num_trials = tuning.trials
        self._last_error: PolysemeError | None = None  # of the last trial that failed
        steps = trial_steps(tuning, training)
        if fn_args.base_model:  # no trial is longer than the training itself
            examples = job_from_fn_args(settings, fn_args).num_examples
            steps = min(
                steps, trial_steps(TuningConfig(1), adapt_to_warm_start(training, examples))
            )
        space = search_space(tuning, model, training)
        self.results = Search(
            tuning.algorithm, steps, tuple(each.field for each in space if each.log), ()
        )
        kinds = {name: kind for name, (kind, _) in tunable_fields(model, training).items()}
        oracle = build_oracle(tuning, space, kinds, configured_values(space, settings))
        super().__init__(
            oracle, directory=fn_args.working_dir, project_name="search", overwrite=True
        )

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs all trials.

        Raises:
            TrainingDiverged, ConfigError: every trial failed; this is the error of the last one.
        """
        try:
            super().search(*args, **kwargs)
        except FatalError as fatal:
            raise fatal.__cause__ or fatal from None
        error = self._last_error
        if self.results.best is None and error:
            raise type(error)(
                f"all {len(self.results.trials)} trials failed; the last one: {error.what}",
                where=error.where,
                remedy=error.remedy,
            )

    def run_trial(self, trial: KerasTrial, **_: Any) -> dict[str, float]:
        """Trains with a trial's values and returns the loss on held-out examples.

        Raises:
            FailedTrialError: the values are at fault; the search continues.
            FatalError: any other error, which is its cause.
        """
        values = dict(trial.hyperparameters.values)
        number = len(self.results.trials) + 1
        _log.info("trial %d of %d: %s", number, self._num_trials, describe_values(values))
        loss = None
        try:
            loss = self._loss(values)
        except (TrainingDiverged, ConfigError) as error:
            self._last_error = error
        except Exception as error:  # KerasTuner would continue after other errors
            raise FatalError(str(error)) from error
        failure = _one_line(self._last_error) if loss is None and self._last_error else ""
        self.results = dataclasses.replace(
            self.results, trials=(*self.results.trials, Trial(number, values, loss, failure))
        )
        if loss is None:
            _log.warning("trial %d of %d failed: %s", number, self._num_trials, failure)
            raise FailedTrialError(failure)
        best = self.results.best
        _log.info(
            "trial %d of %d: held-out loss %.4f, %s",
            number,
            self._num_trials,
            loss,
            f"trial {best.number} has {best.loss:.4f}"
            if best and best.number != number
            else "the lowest so far",
        )
        return {OBJECTIVE: loss}

    def _loss(self, values: Mapping[str, Value]) -> float:
        """The loss of a trial on held-out examples; a complete trial is not run again.

        Raises:
            TrainingDiverged: a loss is not finite.
            ConfigError: the values do not fit together, or the device has too little memory.
        """
        settings = with_values(self._fn_args.custom_config, values)
        training = from_json(TrainingConfig, settings["training"])
        job = self._job(settings, trial_training(training, self.results.steps))
        result_file, training_folder = job.folder / _RESULT, job.folder / "training"
        if result_file.exists():
            _log.info("this trial is already complete")
            result = json.loads(result_file.read_text(encoding="utf-8"))
        else:
            result = self._run(job, training_folder) | {"values": values}
            job.folder.mkdir(parents=True, exist_ok=True)
            write_whole(result_file, [json.dumps(result, indent=2), "\n"])
        for checkpoint in training_folder.glob("ckpt-*"):  # each is larger than the model
            checkpoint.unlink()
        if result["diverged"]:
            raise TrainingDiverged(**result["diverged"])
        return result[OBJECTIVE]

    def _run(self, job: TrainingJob, folder: pathlib.Path) -> dict[str, Any]:
        """Runs a trial; returns its loss, or how it diverged, as JSON.

        Args:
            job: the trial's training.
            folder: the folder of its checkpoints.
        """
        try:
            loss = self._train(job, folder)
        except TrainingDiverged as error:
            return {"diverged": {"what": error.what, "where": error.where, "remedy": error.remedy}}
        except tf.errors.ResourceExhaustedError as error:
            if "OOM" not in str(error):  # another resource, such as the disk
                raise
            raise ConfigError(
                "the device has too little memory",
                where="training.batch_size",
                remedy="try smaller batches, or raise training.gradient_accumulation_steps",
            ) from error
        if not math.isfinite(loss):
            what = f"the loss on held-out examples is {loss}"
            return {"diverged": {"what": what, "remedy": "lower the learning rate"}}
        return {OBJECTIVE: loss, "diverged": None}

    def _train(self, job: TrainingJob, folder: pathlib.Path) -> float:
        model, objective, _ = build_model(job, self._devices)
        pays_on = FAMILIES[job.family].xla_pays_on
        training = with_xla_chosen(job.config, pays_on, model, self._devices)
        spec = objective.feature_spec()
        batches = example_batches(
            job.train_files, training, spec, objective.streams, self._devices, objective.prepare
        )
        train(model, objective, batches, training, folder, devices=self._devices)
        evaluated = dataclasses.replace(training, batch_size=self._eval_batch_size)
        return HeldOutLoss(model, objective, job.eval_files, evaluated, self._devices)()

    def _job(self, settings: Mapping[str, Any], training: TrainingConfig) -> TrainingJob:
        """The training of a trial. Its key holds the batch size of the evaluation too."""
        keyed = training.that_affect(Affects.EXAMPLES, Affects.WEIGHTS)
        return job_from_fn_args(
            {
                **settings,
                "training": json.dumps(keyed, sort_keys=True),
                "code": f"{settings['code']} judged in batches of {self._eval_batch_size}",
            },
            self._fn_args,
        )


class Executor(executor.Executor):
    """TFX's executor, which also writes all trials, to `trials.json` in the tuner's results."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, and writes the best hyperparameters and all trials."""
        working = self._get_tmp_dir()
        tuner = executor.search(input_dict, exec_properties, working, print_tuning_summary=False)
        executor.write_best_hyperparameters(tuner, output_dict)
        tuner.results.write(artifact_utils.get_single_uri(output_dict["tuner_results"]))
        shutil.rmtree(working, ignore_errors=True)


class Tuner(tfx.components.Tuner):
    """TFX's Tuner with `Executor`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def _check_held_out(fn_args: FnArgs) -> None:
    """Checks that examples are held out.

    Raises:
        ConfigError: there are none.
    """
    files = [name for pattern in fn_args.eval_files for name in tf.io.gfile.glob(pattern)]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").take(1)
    if not files or not list(records):
        raise ConfigError(
            "no example is held out, so trials cannot be compared",
            where="ingestion.eval_share",
            remedy="raise it, or give more text",
        )


def _one_line(error: PolysemeError) -> str:
    """An error in one line, without its remedy: here the remedy is another trial."""
    return f"{error.where}: {error.what}" if error.where else error.what
