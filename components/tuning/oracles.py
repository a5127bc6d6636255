"""KerasTuner's oracles, which choose the hyperparameters of each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_tuner import HyperParameters, Objective, Oracle
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle

from components.tuning_config import Hyperparameter, TuningConfig, Value

OBJECTIVE = "held_out_loss"
"""Name of the number that a trial reports and an oracle minimizes."""


def build_oracle(
    tuning: TuningConfig,
    space: tuple[Hyperparameter, ...],
    kinds: Mapping[str, Any],
    configured: Mapping[str, Value],
) -> Oracle:
    """The oracle of a search; its seed and the reported losses determine all its trials.

    Args:
        tuning: the configuration of the search.
        space: the hyperparameters.
        kinds: each field's type.
        configured: the configured values, which the first trial has, so that the best trial is no
            worse than the configuration; empty if they lie outside the space.
    """
    hyperparameters = HyperParameters()
    for each in space:
        _declare(hyperparameters, each, kinds[each.field], configured)
    oracle = _ORACLES[tuning.algorithm](
        objective=Objective(OBJECTIVE, "min"),
        max_trials=tuning.trials,
        seed=tuning.seed + 1,  # 0 would mean no seed
        hyperparameters=hyperparameters,
        max_consecutive_failed_trials=tuning.trials + 1,  # the Tuner reports failures at the end
    )
    oracle.configured = dict(configured)
    return oracle


def _declare(
    hyperparameters: HyperParameters,
    each: Hyperparameter,
    kind: Any,
    configured: Mapping[str, Value],
) -> None:
    """Adds a hyperparameter to KerasTuner's search space."""
    if each.values:
        values = [kind(value) if kind in (int, float) else value for value in each.values]
        default = configured.get(each.field, values[0])
        hyperparameters.Choice(each.field, values, default=default)
        return
    low, high = each.low or 0.0, each.high or 0.0
    sampling = "log" if each.log else "linear"
    if kind is int:
        hyperparameters.Int(each.field, int(low), int(high), sampling=sampling)
    else:
        hyperparameters.Float(each.field, low, high, sampling=sampling)


class _ConfiguredFirst:
    """An oracle whose first trial has the configured values."""

    configured: Mapping[str, Value] = {}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of a trial, as KerasTuner's oracles return them."""
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
    "grid": GridSearchOracle,  # starts with the defaults, which are the configured values
}
