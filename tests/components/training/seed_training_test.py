"""With several seeds, all are trained, and the best on held-out examples is exported."""

from __future__ import annotations

import dataclasses
import json
import logging
import logging.handlers
import math
import pathlib
import queue
import shutil
from typing import Any

import keras
import numpy as np
import pytest

from components.training import component as trainer
from components.training import seed_training, train_job
from components.training.seed_results import SeedRuns
from models.errors import ConfigError, TrainingDiverged
from models.training.loop import train
from tests.components.little_job import TRAINING, arguments, write_examples


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


Exported = list[dict[str, Any]]


def keep_exports(monkeypatch: pytest.MonkeyPatch) -> Exported:
    """Weights and provenance of the models that would be exported; an export takes seconds."""
    kept: Exported = []

    def export(model: keras.Model, *_: Any, provenance: dict[str, Any], **__: Any) -> None:
        weights = [weight.numpy() for weight in model.trainable_variables]
        kept.append({"weights": weights, "seed": provenance["seed"]})

    monkeypatch.setattr(trainer, "export", export)
    return kept


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Exported:
    return keep_exports(monkeypatch)


def with_seeds(seed: int, seeds: int) -> Any:
    return dataclasses.replace(TRAINING, seed=seed, seeds=seeds)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a["weights"], b["weights"], strict=True))


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a Trainer with the seeds 3, 4 and 5 wrote into a folder, exported and logged."""

    folder: pathlib.Path
    exported: Exported
    messages: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, examples: pathlib.Path) -> Trained:
    folder, records = tmp_path_factory.mktemp("trained"), queue.SimpleQueue[logging.LogRecord]()
    handler, logger = logging.handlers.QueueHandler(records), logging.getLogger("polyseme.trainer")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as monkeypatch:
        exported = keep_exports(monkeypatch)
        trainer.run_fn(arguments(folder, examples, training=with_seeds(3, 3)))
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)
    return Trained(folder, exported, [records.get().message for _ in range(records.qsize())])


@pytest.fixture
def trained_folder(trained: Trained, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the folder of `trained`, in which a test can continue."""
    return shutil.copytree(trained.folder, tmp_path / "copy")


@pytest.mark.e2e
@pytest.mark.one_stack
def test_the_best_model_equals_that_of_a_training_with_its_seed_alone(
    examples: pathlib.Path, trained: Trained, tmp_path: pathlib.Path, exported: Exported
) -> None:
    runs = SeedRuns.read(trained.folder / "1" / "model_run")
    assert [run.seed for run in runs.runs] == [3, 4, 5]
    assert len({run.loss for run in runs.runs}) == 3
    assert {"loss", "masked_lm_accuracy"} <= set(runs.best.metrics)
    assert trained.exported[0]["seed"] == runs.best.seed
    trainer.run_fn(arguments(tmp_path, examples, training=with_seeds(runs.best.seed, 1)))
    assert same(trained.exported[0], exported[0])
    assert not (tmp_path / "1" / "model_run" / "seeds.json").exists()
    # The checkpoints of all seeds may be removed once a model of them is pushed.
    assert len(list((trained.folder / "checkpoints").glob("*/exported"))) == 3
    mean, deviation = runs.spread["loss"]
    assert trained.messages[-2] == (
        f"the best is seed {runs.best.seed}; loss {mean:.4f} ± {deviation:.4f}"
    )


@pytest.mark.e2e
@pytest.mark.one_stack
def test_a_seed_that_is_trained_already_is_not_trained_again(
    examples: pathlib.Path,
    trained_folder: pathlib.Path,
    exported: Exported,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fn_args = arguments(trained_folder, examples, attempt="2", training=with_seeds(5, 2))
    with caplog.at_level(logging.INFO, "polyseme.trainer"):
        trainer.run_fn(fn_args)
    messages = [message for message in caplog.messages if message.startswith("trained")]
    assert [message[:15] for message in messages] == ["trained 0 steps", "trained 6 steps"]


@pytest.mark.e2e
@pytest.mark.one_stack
def test_a_seed_that_diverges_is_left_out_and_reported(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = {0}

    def diverge(*args: Any) -> Any:
        config = args[3]
        if config.seed in failing:
            raise TrainingDiverged("the loss is nan", where="training step 2")
        return train(*args)

    monkeypatch.setattr(train_job, "train", diverge)
    trainer.run_fn(arguments(tmp_path, examples, training=with_seeds(0, 2)))
    runs = json.loads((tmp_path / "1" / "model_run" / "seeds.json").read_text())["runs"]
    assert (runs[0]["metrics"], runs[0]["failure"]) == ({}, "training step 2: the loss is nan")
    assert exported[0]["seed"] == 1
    failing.add(1)
    with pytest.raises(TrainingDiverged):
        trainer.run_fn(arguments(tmp_path, examples, attempt="2", training=with_seeds(0, 2)))


@pytest.mark.e2e
@pytest.mark.one_stack
def test_a_nan_loss_is_a_failure(
    examples: pathlib.Path,
    trained_folder: pathlib.Path,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = seed_training.HeldOutLoss.metrics
    losses = iter([math.nan, 1.0])
    monkeypatch.setattr(
        seed_training.HeldOutLoss,
        "metrics",
        lambda held_out, name: {**metrics(held_out, name), name: next(losses)},
    )
    trainer.run_fn(arguments(trained_folder, examples, attempt="2", training=with_seeds(3, 2)))
    first, second = SeedRuns.read(trained_folder / "2" / "model_run").runs
    assert (dict(first.metrics), first.failure) == ({}, 'the split "eval": the loss is nan')
    assert second.metrics["loss"] == 1.0
    assert exported[0]["seed"] == 4


def test_without_held_out_examples_nothing_is_trained(
    examples: pathlib.Path, tmp_path: pathlib.Path, exported: Exported
) -> None:
    fn_args = arguments(tmp_path, examples, training=with_seeds(0, 2))
    fn_args.eval_files = []
    with pytest.raises(ConfigError, match='the split "eval" has no examples'):
        trainer.run_fn(fn_args)
    assert not (tmp_path / "checkpoints").exists()
