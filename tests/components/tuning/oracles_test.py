"""The trials of a search and their order."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from keras_tuner.engine import base_tuner

from components.tuning.oracles import OBJECTIVE, build_oracle
from components.tuning_config import Hyperparameter, TuningConfig

RATE, SIZE = "training.optimizer.learning_rate", "training.batch_size"
KINDS = {
    RATE: float,
    SIZE: int,
    "training.optimizer.kind": str,
    "training.optimizer.bias_correction": bool,
}
Values = dict[str, Any]


def distance(values: Values) -> float:
    """A loss with its minimum at a learning rate of 0.01."""
    return abs(math.log10(values[RATE]) + 2)


def trial_values(
    folder: pathlib.Path,
    tuning: TuningConfig,
    configured: Values | None = None,
    loss: Callable[[Values], float] = distance,
) -> list[Values]:
    """The values of all trials."""
    found: list[Values] = []

    class Tuner(base_tuner.BaseTuner):
        def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
            found.append(dict(trial.hyperparameters.values))
            return {OBJECTIVE: loss(found[-1])}

    oracle = build_oracle(tuning, tuning.space, KINDS, configured or {})
    Tuner(oracle, directory=str(folder), overwrite=True).search(verbose=0)
    return found


def space(*texts: str) -> tuple[Hyperparameter, ...]:
    return tuple(map(Hyperparameter.parse, texts))


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_a_search_is_decided_by_its_seed(tmp_path: pathlib.Path, algorithm: Any) -> None:
    configured = {RATE: 0.5, SIZE: 8}
    fields = space(f"{RATE}:1e-4..1:log", f"{SIZE}:4..16")
    first, again, other = (
        trial_values(tmp_path, TuningConfig(8, 4, algorithm, seed, fields), configured)
        for seed in (0, 0, 1)
    )
    assert len(first) == 8
    assert first == again
    assert first[0] == other[0] == configured
    assert first[1:] != other[1:]
    for values in first:
        assert 1e-4 <= values[RATE] <= 1
        assert values[SIZE] in range(4, 17)


def test_rates_are_drawn_by_their_logarithm(tmp_path: pathlib.Path) -> None:
    drawn = trial_values(tmp_path, TuningConfig(60, space=space(f"{RATE}:1e-4..1:log")))
    assert 0.3 < sum(values[RATE] < 1e-2 for values in drawn) / 60 < 0.7
    drawn = trial_values(tmp_path, TuningConfig(60, space=space(f"{RATE}:1e-4..1")))
    assert sum(values[RATE] < 1e-2 for values in drawn) / 60 < 0.1


def test_a_bayesian_search_approaches_the_minimum(tmp_path: pathlib.Path) -> None:
    tuning = TuningConfig(8, 4, "bayesian", space=space(f"{RATE}:1e-4..1:log"))
    drawn = [distance(values) for values in trial_values(tmp_path, tuning, {RATE: 1.0})]
    assert drawn[0] == 2
    assert min(drawn) < 0.1
    assert min(drawn[3:]) < min(drawn[:3])  # the first three are random


def test_a_grid_has_each_point_once_and_then_ends(tmp_path: pathlib.Path) -> None:
    fields = space(f"{RATE}:1e-3/1e-2/1e-1", f"{SIZE}:8/16")
    configured = {RATE: 1e-2, SIZE: 16}
    drawn = trial_values(tmp_path, TuningConfig(9, 4, "grid", space=fields), configured)
    assert drawn[0] == configured
    assert sorted((values[RATE], values[SIZE]) for values in drawn) == [
        (rate, size) for rate in (1e-3, 1e-2, 1e-1) for size in (8, 16)
    ]
    assert len(trial_values(tmp_path, TuningConfig(4, 4, "grid", space=fields), configured)) == 4


def test_a_space_that_is_exhausted_ends_the_search(tmp_path: pathlib.Path) -> None:
    tuning = TuningConfig(9, space=space(f"{SIZE}:8/16"))
    drawn = trial_values(tmp_path, tuning, loss=lambda _: 1.0)
    assert sorted(values[SIZE] for values in drawn) == [8, 16]


def test_values_have_their_fields_types(tmp_path: pathlib.Path) -> None:
    fields = space(
        f"{RATE}:1/2",
        f"{SIZE}:8/16",
        "training.optimizer.kind:adamw/lamb",
        "training.optimizer.bias_correction:True/False",
    )
    for values in trial_values(tmp_path, TuningConfig(4, space=fields)):
        assert type(values[RATE]) is float
        assert type(values[SIZE]) is int
        assert values["training.optimizer.kind"] in ("adamw", "lamb")
        assert values["training.optimizer.bias_correction"] in (True, False)


def test_the_search_continues_after_failed_trials(tmp_path: pathlib.Path) -> None:
    def fail(_: Values) -> float:
        raise ValueError("no")

    assert len(trial_values(tmp_path, TuningConfig(6, space=space(f"{RATE}:0..1")), loss=fail)) == 6
