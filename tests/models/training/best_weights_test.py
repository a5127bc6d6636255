"""Tests that a run ends with its best weights, also when it stops early or was killed."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np
import pytest

from models.errors import ConfigError
from models.training.batches import example_batches
from models.training.config import OptimizerConfig, TrainingConfig
from models.training.loop import train
from models.training.metrics import TrainingResult
from tests.testdata.example_files import index_files
from tests.testdata.summing import SummingObjective, fresh_model, write_examples

CONFIG = TrainingConfig(
    steps=12,
    batch_size=4,
    jit_compile=False,
    log_steps=100,
    shuffle_buffer=8,
    checkpoint_seconds=0.0,
    eval_steps=2,
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=0),
)


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> list[str]:
    write_examples(tmp_path / "train.gz", 48, np.random.default_rng(0))
    return index_files([str(tmp_path / "train.gz")])


def losses(*values: float) -> Callable[[], float]:
    """An evaluation that returns these losses in turn; one more evaluation fails."""
    remaining = list(values)
    return lambda: remaining.pop(0)


class Killed(BaseException):
    pass


def then_killed(*values: float) -> Callable[[], float]:
    """An evaluation that returns these losses in turn; then the process is killed."""
    remaining = list(values)

    def evaluate() -> float:
        if not remaining:
            raise Killed
        return remaining.pop(0)

    return evaluate


def records(folder: pathlib.Path) -> list[dict[str, float]]:
    lines = (folder / "logs" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def weights(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.trainable_variables]


def same(a: keras.Model, b: keras.Model) -> bool:
    """Whether two models have bit-identical weights."""
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def run(
    files: list[str],
    folder: pathlib.Path,
    config: TrainingConfig,
    held_out: Callable[[], float] | None,
) -> tuple[keras.Model, TrainingResult]:
    model = fresh_model()
    objective = SummingObjective()
    batches = example_batches(files, config, objective.feature_spec())
    result = train(model, objective, batches, config, folder, held_out)
    return model, result


def test_the_weights_of_the_lowest_loss_are_the_models(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    model, result = run(files, tmp_path / "a", CONFIG, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    assert result.steps == 12
    config = dataclasses.replace(CONFIG, steps=4, eval_steps=0)
    assert not same(model, run(files, tmp_path / "b", config, None)[0])  # another schedule
    optimizer = dataclasses.replace(CONFIG.optimizer, schedule="constant")
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    model, _ = run(files, tmp_path / "c", config, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    config = dataclasses.replace(config, steps=4, eval_steps=0)
    assert same(model, run(files, tmp_path / "d", config, None)[0])


def test_held_out_losses_are_recorded(files: list[str], tmp_path: pathlib.Path) -> None:
    run(files, tmp_path, CONFIG, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    found = [(record["step"], record["held_out_loss"]) for record in records(tmp_path)]
    assert found == [(2, 3.0), (4, 1.0), (6, 2.0), (8, 2.5), (10, 1.0), (12, 4.0)]


def test_a_run_that_stopped_early_is_not_trained_further(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(CONFIG, patience=2)
    model, result = run(files, tmp_path, config, losses(3.0, 1.0, 1.0, 2.0))
    assert result.steps == 8
    assert [record["step"] for record in records(tmp_path)] == [2, 4, 6, 8]
    again, result = run(files, tmp_path, config, losses())
    assert result.steps == 8
    assert same(model, again)


@pytest.mark.parametrize("evaluations", [1, 2, 3, 4])
def test_a_killed_run_ends_with_the_same_best_weights(
    files: list[str], tmp_path: pathlib.Path, evaluations: int
) -> None:
    values = (3.0, 1.0, 0.5, 2.0, 1.5, 4.0)
    whole, _ = run(files, tmp_path / "whole", CONFIG, losses(*values))

    with pytest.raises(Killed):
        run(files, tmp_path / "killed", CONFIG, then_killed(*values[:evaluations]))
    resumed, result = run(files, tmp_path / "killed", CONFIG, losses(*values[evaluations:]))
    assert result.resumed_from == 2 * evaluations + 1
    assert same(whole, resumed)


def test_the_best_weights_that_are_damaged_are_missed(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    run(files, tmp_path, CONFIG, losses(1.0, 2.0, 2.0, 2.0, 2.0, 2.0))
    (data,) = (tmp_path / "best").glob("ckpt-2.data*")
    data.write_bytes(b"")
    with pytest.raises(ConfigError, match="the best weights, of step 2, are missing or damaged"):
        run(files, tmp_path, CONFIG, losses())


def test_that_the_best_weights_are_lost_is_told_before_training_goes_on(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(Killed):
        run(files, tmp_path, CONFIG, then_killed(1.0, 2.0, 3.0))
    shutil.rmtree(tmp_path / "best")
    with pytest.raises(ConfigError, match="the best weights, of step 2, are missing or damaged"):
        run(files, tmp_path, CONFIG, losses())  # nothing is evaluated


def test_best_weights_that_are_newer_than_the_checkpoint_are_found_again(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    rarely = dataclasses.replace(CONFIG, checkpoint_seconds=3600.0)
    values = (3.0, 2.0, 1.0, 4.0, 4.0, 4.0)
    whole, _ = run(files, tmp_path / "whole", rarely, losses(*values))

    with pytest.raises(Killed):
        run(files, tmp_path / "killed", rarely, then_killed(*values[:5]))
    assert list((tmp_path / "killed" / "best").iterdir())
    resumed, result = run(files, tmp_path / "killed", rarely, losses(*values))
    assert result.resumed_from == 0
    assert same(whole, resumed)


def test_patience_needs_something_to_look_at(files: list[str], tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as error:
        run(files, tmp_path, dataclasses.replace(CONFIG, patience=1), None)
    assert error.value.where == "training.patience"
