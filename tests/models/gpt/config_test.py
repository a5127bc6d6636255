"""Tests of GPT's configuration and its bounds."""

import dataclasses
import json

import pytest

from models.errors import ConfigError
from models.gpt.config import SIZES, GptBackboneConfig, GptConfig, GptObjectiveConfig
from models.settings import from_json
from models.training.config import TrainingConfig


def test_a_configuration_is_restored_from_json() -> None:
    config = GptConfig(backbone=SIZES["xl"])
    assert from_json(GptConfig, json.dumps(dataclasses.asdict(config))) == config


def test_missing_fields_have_their_defaults() -> None:
    config = from_json(GptConfig, '{"backbone": {"num_layers": 3}}')
    assert (config.backbone.num_layers, config.backbone.hidden_size) == (3, 768)
    assert not config.objective.separate_documents


def test_the_error_names_a_mistyped_field() -> None:
    with pytest.raises(ConfigError, match="got 2") as error:
        from_json(GptConfig, '{"objective": {"sequence_lenght": 2}}')
    assert error.value.where == "model.objective.sequence_lenght"


@pytest.mark.parametrize("size", SIZES)
def test_heads_divide_the_hidden_size_of_every_published_size(size: str) -> None:
    assert SIZES[size].hidden_size % SIZES[size].num_heads == 0


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="65 is not a multiple of the 4") as refused:
        GptBackboneConfig(hidden_size=65, num_heads=4)
    assert refused.value.where == "model.backbone.hidden_size"


def test_windows_longer_than_the_decoder_are_refused() -> None:
    with pytest.raises(ConfigError, match="1025 tokens do not fit a decoder with 1024") as refused:
        GptConfig(objective=GptObjectiveConfig(sequence_length=1025))
    assert refused.value.where == "model.objective.sequence_length"


def test_length_buckets_of_full_windows_are_refused() -> None:
    GptConfig().check_training(TrainingConfig())
    with pytest.raises(ConfigError, match="have the same length") as refused:
        GptConfig().check_training(TrainingConfig(length_buckets=4))
    assert refused.value.where == "training.length_buckets"


@pytest.mark.parametrize("name", ["sequence_length", "bigram_pairs"])
def test_zero_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        GptObjectiveConfig(**{name: 0})
    assert refused.value.where == f"model.objective.{name}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("activation", "relu"), ("layer_norm_epsilon", 0.0), ("vocabulary_rows", -1)],
)
def test_an_impossible_decoder_is_refused(field: str, value: float | str) -> None:
    with pytest.raises(ConfigError) as refused:
        GptBackboneConfig(**{field: value})  # type: ignore[arg-type]
    assert refused.value.where == f"model.backbone.{field}"
