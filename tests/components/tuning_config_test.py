"""Tests of the settings of a search: parsing hyperparameters, JSON, and what is refused."""

import dataclasses
import json

import pytest

from components.tuning_config import Hyperparameter, TuningConfig
from models.errors import ConfigError
from models.settings import from_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.batch_size:8/16/32", Hyperparameter("training.batch_size", (8, 16, 32))),
        ("a.b:0.5/1e-3", Hyperparameter("a.b", (0.5, 1e-3))),
        ("a.b:adamw/lamb", Hyperparameter("a.b", ("adamw", "lamb"))),
        ("a.b:True/False", Hyperparameter("a.b", (True, False))),
        ("a.b:8", Hyperparameter("a.b", (8,))),
        (" a.b:0..0.3", Hyperparameter("a.b", low=0.0, high=0.3)),
        ("a.b:1e-4..1e-2:log", Hyperparameter("a.b", low=1e-4, high=1e-2, log=True)),
    ],
)
def test_a_hyperparameter_in_a_command_line(text: str, expected: Hyperparameter) -> None:
    found = Hyperparameter.parse(text)
    assert found == expected
    assert [type(value) for value in found.values] == [type(value) for value in expected.values]


@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b:", ":1/2", "", "a.b:1..2:lin", "a.b:1..2:", "a.b:1/2:log", "a.b:x..2", "a.b:1.."],
)
def test_invalid_hyperparameters_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a hyperparameter") as caught:
        Hyperparameter.parse(text)
    assert caught.value.remedy == (
        "write FIELD:VALUE/VALUE/…, FIELD:LOW..HIGH or FIELD:LOW..HIGH:log"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "has either values or a range"),
        ({"values": (1, 2), "low": 1, "high": 2}, "has either values or a range"),
        ({"low": 1}, "from 1 to None is not a range"),
        ({"high": 1}, "from None to 1 is not a range"),
        ({"low": 2, "high": 2}, "from 2 to 2 is not a range"),
        ({"low": float("nan"), "high": 2}, "from nan to 2 is not a range"),
        ({"low": 0, "high": 2, "log": True}, "0 has no logarithm"),
        ({"values": (1, 2, 1)}, "has a value twice"),
    ],
)
def test_invalid_values_and_ranges_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Hyperparameter("training.batch_size", **fields)
    assert caught.value.where == "tuning.space, training.batch_size"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"trials": -1}, "tuning.trials"),
        ({"steps": 0}, "tuning.steps"),
        ({"seed": -1}, "tuning.seed"),
        ({"steps": 5}, "tuning.steps"),  # without trials
        ({"algorithm": "bayesian"}, "tuning.algorithm"),
        ({"space": (Hyperparameter("a", (1, 2)),)}, "tuning.space"),
        (
            {"trials": 1, "space": (Hyperparameter("a", (1, 2)), Hyperparameter("a", (3,)))},
            "tuning.space",
        ),
        (
            {"trials": 1, "algorithm": "grid", "space": (Hyperparameter("a", low=1, high=2),)},
            "tuning.space",
        ),
    ],
)
def test_invalid_search_settings_are_refused(fields: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TuningConfig(**fields)
    assert caught.value.where == where


def test_a_configuration_survives_json() -> None:
    space = (
        Hyperparameter("a", (2, 0.5, "x", True)),
        Hyperparameter("b", low=1e-4, high=1, log=True),
    )
    config = TuningConfig(4, 20, "bayesian", 3, space)
    found = from_json(TuningConfig, json.dumps(dataclasses.asdict(config)))
    assert found == config
    assert [type(value) for value in found.space[0].values] == [int, float, str, bool]
