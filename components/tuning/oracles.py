"""KerasTuner's oracles, which say what the next trial of a search is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_tuner import HyperParameters, Objective, Oracle
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle

from components.tuning_config import Hyperparameter, TuningConfig, Value

OBJECTIVE = "held_out_loss"
"""What an oracle wants to know of each trial; it looks for the lowest."""


def build_oracle(
    tuning: TuningConfig,
    space: tuple[Hyperparameter, ...],
    kinds: Mapping[str, Any],
    own: Mapping[str, Value],
) -> Oracle:
    """The oracle of a search. Its seed and the losses that it is told decide what it asks for.

    Args:
        tuning: how to search.
        space: what is varied.
        kinds: each field's type.
        own: the values that are configured, which are the first trial's, so that the best one is
            no worse; empty if they lie outside the space.
    """
    hyperparameters = HyperParameters()
    for each in space:
        _declare(hyperparameters, each, kinds[each.field], own)
    oracle = _ORACLES[tuning.algorithm](
        objective=Objective(OBJECTIVE, "min"),
        max_trials=tuning.trials,
        seed=tuning.seed + 1,  # it takes 0 for none
        hyperparameters=hyperparameters,
        max_consecutive_failed_trials=tuning.trials + 1,  # the Tuner tells of them in the end
    )
    oracle.configured = dict(own)
    return oracle


def _declare(
    hyperparameters: HyperParameters, each: Hyperparameter, kind: Any, own: Mapping[str, Value]
) -> None:
    """Tells KerasTuner of a hyperparameter."""
    if each.values:
        values = [kind(value) if kind in (int, float) else value for value in each.values]
        hyperparameters.Choice(each.field, values, default=own.get(each.field, values[0]))
        return
    low, high = each.low or 0.0, each.high or 0.0
    sampling = "log" if each.log else "linear"
    if kind is int:
        hyperparameters.Int(each.field, int(low), int(high), sampling=sampling)
    else:
        hyperparameters.Float(each.field, low, high, sampling=sampling)


class _ConfiguredFirst:
    """An oracle whose first trial has the values that are configured."""

    configured: Mapping[str, Value] = {}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of a trial, as KerasTuner's oracles give them."""
        if self.configured and not self.start_order:  # type: ignore[attr-defined]
            return {"status": "RUNNING", "values": dict(self.configured)}
        return super().populate_space(trial_id)  # type: ignore[misc]


class _Random(_ConfiguredFirst, RandomSearchOracle):
    pass


class _Bayesian(_ConfiguredFirst, BayesianOptimizationOracle):
    pass


_ORACLES: Mapping[str, Any] = {
    "random": _Random,
    "bayesian": _Bayesian,
    "grid": GridSearchOracle,  # begins with the defaults, which are the configured values
}
