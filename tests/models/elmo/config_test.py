"""Tests of ELMo's configuration and its bounds."""

import dataclasses
import json
from typing import Any

import pytest

from models.elmo.config import SIZES, ElmoBackboneConfig, ElmoConfig, ElmoObjectiveConfig
from models.errors import ConfigError
from models.settings import from_json
from models.training.config import TrainingConfig


@pytest.mark.parametrize("size", SIZES)
def test_a_configuration_is_restored_from_json(size: str) -> None:
    text = json.dumps(dataclasses.asdict(SIZES[size]))
    assert from_json(ElmoBackboneConfig, text) == SIZES[size]


def test_a_filter_is_a_pair() -> None:
    with pytest.raises(ConfigError) as refused:
        from_json(ElmoBackboneConfig, '{"filters": [[1, 32], [2]]}')
    assert refused.value.where is not None
    assert refused.value.where.startswith("model.backbone.filters.1")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"filters": ()}, "filters"),
        ({"filters": ((1, 32), (51, 8))}, "filters.1.0"),
        ({"filters": ((1, 0),)}, "filters.0.1"),
        ({"num_highways": -1}, "num_highways"),
        ({"units": 0}, "units"),
        ({"cell_clip": 0.0}, "cell_clip"),
        ({"projection_clip": float("nan")}, "projection_clip"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_an_impossible_encoder_is_refused(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ElmoBackboneConfig(**fields)
    assert refused.value.where == f"model.backbone.{where}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("unroll_steps", 0), ("num_streams", 0), ("num_sampled", -1), ("bigram_pairs", 0)],
)
def test_impossible_windows_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError) as refused:
        ElmoObjectiveConfig(**{name: value})
    assert refused.value.where == f"model.objective.{name}"


def test_a_batch_with_two_windows_of_a_stream_is_refused() -> None:
    config = ElmoConfig(objective=ElmoObjectiveConfig(num_streams=24))
    config.check_training(TrainingConfig(batch_size=8))
    with pytest.raises(ConfigError, match="of 16 does not divide the 24 streams") as refused:
        config.check_training(TrainingConfig(batch_size=16))
    assert refused.value.where == "training.batch_size"


def test_length_buckets_of_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="have the same length") as refused:
        ElmoConfig().check_training(TrainingConfig(batch_size=128, length_buckets=2))
    assert refused.value.where == "training.length_buckets"
