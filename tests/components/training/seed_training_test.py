"""With several seeds, all are trained, and the best on held-out examples is exported."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import pathlib
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


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Weights and provenance of the models that would be exported; an export takes seconds."""
    kept: list[dict[str, Any]] = []

    def export(model: keras.Model, *_: Any, provenance: dict[str, Any], **__: Any) -> None:
        weights = [weight.numpy() for weight in model.trainable_variables]
        kept.append({"weights": weights, "seed": provenance["seed"]})

    monkeypatch.setattr(trainer, "export", export)
    return kept


def with_seeds(seed: int, seeds: int) -> Any:
    return dataclasses.replace(TRAINING, seed=seed, seeds=seeds)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a["weights"], b["weights"], strict=True))


def test_the_best_of_the_seeds_is_what_its_own_training_gives(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "polyseme.trainer"):
        trainer.run_fn(arguments(tmp_path / "all", examples, training=with_seeds(3, 3)))
    runs = SeedRuns.read(tmp_path / "all" / "1" / "model_run")
    assert [run.seed for run in runs.runs] == [3, 4, 5]
    assert len({run.loss for run in runs.runs}) == 3
    assert {"loss", "masked_lm_accuracy"} <= set(runs.best.metrics)
    assert exported[0]["seed"] == runs.best.seed
    trainer.run_fn(arguments(tmp_path / "one", examples, training=with_seeds(runs.best.seed, 1)))
    assert same(exported[0], exported[1])
    assert not (tmp_path / "one" / "1" / "model_run" / "seeds.json").exists()
    # The checkpoints of all seeds may be removed once a model of them is pushed.
    assert len(list((tmp_path / "all" / "checkpoints").glob("*/exported"))) == 3
    mean, deviation = runs.spread["loss"]
    assert caplog.messages[-2] == (
        f"the best is seed {runs.best.seed}; loss {mean:.4f} ± {deviation:.4f}"
    )


def test_a_seed_that_is_trained_already_is_not_trained_again(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    trainer.run_fn(arguments(tmp_path, examples, training=with_seeds(3, 1)))
    with caplog.at_level(logging.INFO, "polyseme.trainer"):
        trainer.run_fn(arguments(tmp_path, examples, attempt="2", training=with_seeds(3, 2)))
    trained = [message for message in caplog.messages if message.startswith("trained")]
    assert [message[:15] for message in trained] == ["trained 0 steps", "trained 6 steps"]


def test_a_seed_that_diverges_is_left_out_and_told(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = {0}

    def diverge(*given: Any) -> Any:
        config = given[3]
        if config.seed in failing:
            raise TrainingDiverged("the loss is nan", where="training step 2")
        return train(*given)

    monkeypatch.setattr(train_job, "train", diverge)
    trainer.run_fn(arguments(tmp_path, examples, training=with_seeds(0, 2)))
    runs = json.loads((tmp_path / "1" / "model_run" / "seeds.json").read_text())["runs"]
    assert (runs[0]["metrics"], runs[0]["failure"]) == ({}, "training step 2: the loss is nan")
    assert exported[0]["seed"] == 1
    failing.add(1)
    with pytest.raises(TrainingDiverged):
        trainer.run_fn(arguments(tmp_path, examples, attempt="2", training=with_seeds(0, 2)))


def test_a_loss_that_is_no_number_is_a_failure(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    exported: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = seed_training.HeldOutLoss.metrics
    losses = iter([math.nan, 1.0])
    monkeypatch.setattr(
        seed_training.HeldOutLoss,
        "metrics",
        lambda held_out, name: {**metrics(held_out, name), name: next(losses)},
    )
    trainer.run_fn(arguments(tmp_path, examples, training=with_seeds(0, 2)))
    first, second = SeedRuns.read(tmp_path / "1" / "model_run").runs
    assert (dict(first.metrics), first.failure) == ({}, 'the split "eval": the loss is nan')
    assert second.metrics["loss"] == 1.0
    assert exported[0]["seed"] == 1


def test_without_held_out_examples_nothing_is_trained(
    examples: pathlib.Path, tmp_path: pathlib.Path, exported: list[dict[str, Any]]
) -> None:
    given = arguments(tmp_path, examples, training=with_seeds(0, 2))
    given.eval_files = []
    with pytest.raises(ConfigError, match='the split "eval" has no examples'):
        trainer.run_fn(given)
    assert not (tmp_path / "checkpoints").exists()
