"""Tests of when a model is evaluated during training."""

import pathlib

import keras
import numpy as np
import pytest

from models.training.best_weights import BestWeights
from models.training.devices import Devices
from models.training.evaluation import Evaluation
from models.training.metrics import TrainingMetrics
from models.training.run_state import RunState


def evaluated_steps(
    folder: pathlib.Path, interval: int, steps_per_execution: int, *, held_out: bool = True
) -> list[int]:
    """The steps after which a run of ten steps is evaluated."""
    state = RunState(10)
    variables = [keras.Variable(np.zeros(2, np.float32))]
    best = BestWeights(folder / "best", state, variables, Devices())
    evaluation = Evaluation((lambda: 1.0) if held_out else None, interval, state, best)
    metrics = TrainingMetrics(folder, 0, 10)
    steps = []
    while not state.finished:
        before = int(state.step)
        state.advance(min(steps_per_execution, 10 - before))
        if evaluation.run_if_due(before, metrics):
            steps.append(int(state.step))
    best.close()
    return steps


@pytest.mark.parametrize(
    ("interval", "steps_per_execution", "expected"),
    [(4, 1, [4, 8, 10]), (5, 1, [5, 10]), (4, 3, [6, 9, 10]), (2, 5, [5, 10]), (0, 1, [])],
)
def test_a_model_is_evaluated_every_interval_and_at_the_end(
    tmp_path: pathlib.Path, interval: int, steps_per_execution: int, expected: list[int]
) -> None:
    assert evaluated_steps(tmp_path, interval, steps_per_execution) == expected


def test_without_held_out_examples_nothing_is_evaluated(tmp_path: pathlib.Path) -> None:
    assert evaluated_steps(tmp_path, 4, 1, held_out=False) == []
