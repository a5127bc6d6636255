"""The Tuner: its trials and their losses, failures of one or all trials, and resuming a search."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfx.components.tuner import executor as tfx_executor
from tfx.types import standard_artifacts

from components.training import component as trainer
from components.training import train_job
from components.training.train_job import BuiltModel
from components.tuning import component as tuner
from components.tuning.trials import Search
from components.tuning_config import TuningConfig
from models.errors import ConfigError, PolysemeError, Preempted, TrainingDiverged
from models.training.config import OptimizerConfig, TrainingConfig
from models.training.metrics import TrainingResult
from tests.components.little_search import (
    RATE,
    SIZE,
    TRAINING,
    TUNING,
    arguments,
    build_examples,
    searched,
    space,
)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainingConfig]:
    """The trials that ran. None of them is trained: their loss is |log10(learning rate) + 2|."""
    ran: list[TrainingConfig] = []
    monkeypatch.setattr(tuner, "build_model", lambda *_: BuiltModel(None, _Streamless(), None))
    monkeypatch.setattr(tuner, "example_batches", lambda *_: None)
    monkeypatch.setattr(tuner, "train", lambda *args, **_: ran.append(args[3]))

    def held_out(*_: Any) -> Callable[[], float]:
        return lambda: abs(float(np.log10(ran[-1].optimizer.learning_rate)) + 2)

    monkeypatch.setattr(tuner, "HeldOutLoss", held_out)
    return ran


class _Streamless:
    streams = None
    prepare = None

    def feature_spec(self) -> None:
        """Returns nothing: the replaced functions do not read the spec."""


def test_all_trials_begin_with_the_same_weights(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, np.ndarray]] = []

    def keep(model: keras.Model, *_: Any, **__: Any) -> None:
        kept.append({variable.path: variable.numpy() for variable in model.variables})

    monkeypatch.setattr(tuner, "train", keep)
    searched(arguments(tmp_path, examples))
    first, *others = kept
    assert len(others) == 2
    assert any("seed_generator" in path for path in first)
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[path], other[path]) for path in first)


def test_trials_have_the_candidates_values_and_a_schedule_in_proportion(
    examples: pathlib.Path, tmp_path: pathlib.Path, trained: list[TrainingConfig]
) -> None:
    found = searched(arguments(tmp_path, examples))
    for training, trial in zip(trained, found.trials, strict=True):
        assert training.optimizer.learning_rate == trial.values[RATE]
        assert training.batch_size == trial.values[SIZE]
        assert (training.steps, training.optimizer.warmup_steps) == (4, 2)
        assert training.eval_steps == 0
        assert training.seed == TRAINING.seed
    assert found.best == min(found.trials, key=lambda trial: trial.loss)


def test_all_trials_are_judged_by_the_same_examples(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluated: list[TrainingConfig] = []
    monkeypatch.setattr(
        tuner, "HeldOutLoss", lambda *args: evaluated.append(args[3]) or (lambda: 1.0)
    )
    tuning = TuningConfig(3, 4, "grid", space=space(f"{SIZE}:8/4/16"))
    searched(arguments(tmp_path, examples, tuning))
    assert [training.batch_size for training in trained] == [8, 4, 16]
    assert [(each.batch_size, each.eval_batches) for each in evaluated] == [(8, 2)] * 3


def test_a_longer_search_begins_with_the_same_trials(
    examples: pathlib.Path, tmp_path: pathlib.Path, trained: list[TrainingConfig]
) -> None:
    two = searched(arguments(tmp_path, examples, dataclasses.replace(TUNING, trials=2)))
    four = searched(arguments(tmp_path, examples, dataclasses.replace(TUNING, trials=4)))
    assert four.trials[:2] == two.trials
    assert len(trained) == 4


def test_trials_are_keyed_by_everything_they_depend_on(
    examples: pathlib.Path, tmp_path: pathlib.Path, trained: list[TrainingConfig]
) -> None:
    one = TuningConfig(1, 4, space=space(f"{SIZE}:8/16"))
    base = tmp_path / "base" / "variables" / "variables.index"
    base.parent.mkdir(parents=True)
    base.write_bytes(b"checksums")
    manifest = examples / "SHA256SUMS"
    files = manifest.read_text()
    for changes in (
        {},
        {"training": dataclasses.replace(TRAINING, seed=1)},
        {"tuning": dataclasses.replace(one, steps=5)},
        {"base_model": str(tmp_path / "base")},
        {"code": "other"},
    ):
        for _ in range(2):
            searched(arguments(tmp_path, examples, **({"tuning": one} | changes)))
    try:
        manifest.write_text(f"0{files[1:]}")
        searched(arguments(tmp_path, examples, one))
    finally:
        manifest.write_text(files)
    assert len(trained) == 6


def fail(
    monkeypatch: pytest.MonkeyPatch, ran: list[TrainingConfig], error: Exception, above: float
) -> None:
    def train(*args: Any, **_: Any) -> None:
        training = args[3]
        ran.append(training)
        if training.optimizer.learning_rate > above:
            raise error

    monkeypatch.setattr(tuner, "train", train)


DIVERGED = TrainingDiverged("the loss is nan", where="training step 3", remedy="lower the rate")


def test_a_trial_that_diverges_fails_and_the_search_continues(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "polyseme")
    fail(monkeypatch, trained, DIVERGED, 0.02)
    tuning = TuningConfig(5, 4, "grid", space=space(f"{RATE}:0.01/0.05/0.03/0.04/0.001"))
    found = searched(arguments(tmp_path, examples, tuning))
    reason = "training step 3: the loss is nan"
    assert [trial.failure for trial in found.trials] == ["", reason, reason, reason, ""]
    assert [trial.held_out_loss is None for trial in found.trials] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert found.best == found.trials[0]
    assert f"trial 2 of 5 failed: {reason}" in caplog.messages
    assert searched(arguments(tmp_path, examples, tuning)) == found
    assert len(trained) == 5  # failed trials are not run again


def test_a_loss_on_held_out_examples_that_is_not_finite_fails_a_trial(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        tuner, "HeldOutLoss", lambda *_: lambda: float("nan" if len(trained) > 1 else 1)
    )
    found = searched(arguments(tmp_path, examples))
    assert found.best == found.trials[0]
    assert found.trials[1].failure == "the loss on held-out examples is nan"


@pytest.mark.parametrize(
    "error", [DIVERGED, ConfigError("too few streams", where="training.batch_size", remedy="more")]
)
def test_the_search_fails_if_all_trials_fail(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
    error: PolysemeError,
) -> None:
    fail(monkeypatch, trained, error, 0.0)
    with pytest.raises(type(error)) as caught:
        searched(arguments(tmp_path, examples))
    assert caught.value.what == f"all 3 trials failed; the last one: {error.what}"
    assert (caught.value.where, caught.value.remedy) == (error.where, error.remedy)


@pytest.mark.parametrize("error", [Preempted("received SIGTERM"), OSError(28, "No space left")])
def test_other_errors_end_the_search_and_it_can_be_run_again(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    train = tuner.train
    fail(monkeypatch, trained, error, 0.0)
    with pytest.raises(type(error)) as caught:
        searched(arguments(tmp_path, examples))
    assert caught.value is error
    assert len(trained) == 1
    monkeypatch.setattr(tuner, "train", train)
    assert len(searched(arguments(tmp_path, examples)).trials) == 3


def test_too_little_memory_fails_a_trial_and_the_failure_is_not_kept(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = tuner.train
    exhausted = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    fail(monkeypatch, trained, exhausted, 0.01)
    tuning = TuningConfig(2, 4, "grid", space=space(f"{RATE}:0.01/0.05"))
    found = searched(arguments(tmp_path, examples, tuning))
    assert found.trials[1].failure == f"{SIZE}: the device has too little memory"
    full = tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    fail(monkeypatch, trained, full, 0.01)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        searched(arguments(tmp_path, examples, tuning))
    monkeypatch.setattr(tuner, "train", train)
    assert searched(arguments(tmp_path, examples, tuning)).trials[1].failure == ""


def test_without_held_out_examples_there_is_no_search(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    fn_args = arguments(tmp_path, examples)
    fn_args.eval_files = [str(tmp_path / "none" / "*")]
    with pytest.raises(ConfigError, match="no example is held out"):
        tuner.tuner_fn(fn_args)


def test_tfx_runs_the_search_and_the_trainer_uses_its_result(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    trained: list[TrainingConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = dataclasses.replace(TRAINING, optimizer=OptimizerConfig(learning_rate=0.5))
    tuning = TuningConfig(4, 4, space=space(f"{RATE}:1e-4..0.5:log"))
    fn_args = arguments(tmp_path, examples, tuning, training=training)
    inputs = standard_artifacts.Examples()
    inputs.uri, inputs.split_names = str(examples), '["train", "eval"]'
    outputs = {}
    for name, kind in (
        ("best_hyperparameters", standard_artifacts.HyperParameters),
        ("tuner_results", standard_artifacts.TunerResults),
    ):
        outputs[name] = [kind()]
        outputs[name][0].uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
    (tmp_path / "working").mkdir()
    executor = tuner.Executor()
    monkeypatch.setattr(executor, "_get_tmp_dir", lambda: str(tmp_path / "working"))
    properties = {
        "train_args": '{"splits": ["train"]}',
        "eval_args": '{"splits": ["eval"]}',
        "custom_config": json.dumps(fn_args.custom_config),
    }
    # TFX would import the module again, without the fixture's replacements.
    monkeypatch.setattr(tfx_executor, "_get_tuner_fn", lambda _: tuner.tuner_fn)
    executor.Do({"examples": [inputs]}, outputs, properties)
    found = Search.read(tmp_path / "tuner_results")
    assert len(found.trials) == len(trained) == 4
    best = json.loads((tmp_path / "best_hyperparameters" / "best_hyperparameters.txt").read_text())
    assert found.best is not None
    assert best["values"] == found.best.values != {RATE: 0.5}

    learned: list[tuple[TrainingConfig, pathlib.Path]] = []

    def train(*args: Any) -> Any:
        config, folder = args[3], args[4]
        learned.append((config, folder))
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        return TrainingResult(0, 0, 0.0, 0.0, {})

    exported: list[Any] = []
    monkeypatch.setattr(train_job, "train", train)
    monkeypatch.setattr(
        trainer, "export", lambda *_, config_json, **__: exported.append(json.loads(config_json))
    )
    fn_args.custom_config["unkeyed"]["folder"] = str(tmp_path / "checkpoints")
    fn_args.model_run_dir = str(tmp_path / "model_run")
    fn_args.serving_model_dir = str(tmp_path / "model")
    trainer.run_fn(fn_args)
    fn_args.hyperparameters = best
    trainer.run_fn(fn_args)
    rates = [training.optimizer.learning_rate for training, _ in learned]
    assert rates == [0.5, found.best.values[RATE]]
    assert [each["training"]["optimizer"]["learning_rate"] for each in exported] == rates
    assert learned[0][1] != learned[1][1]  # the two trainings share no checkpoints
    assert learned[1][0].steps == training.steps
