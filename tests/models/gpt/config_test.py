import dataclasses
import json

import pytest

from models.config import from_json
from models.errors import ConfigError
from models.gpt.config import SIZES, GptConfig


def test_it_survives_json() -> None:
    config = GptConfig(backbone=SIZES["xl"])
    assert from_json(GptConfig, json.dumps(dataclasses.asdict(config))) == config


def test_what_is_not_said_has_its_default() -> None:
    config = from_json(GptConfig, '{"backbone": {"layers": 3}}')
    assert (config.backbone.layers, config.backbone.width) == (3, 768)
    assert not config.objective.separate_documents


def test_a_mistyped_field_is_named() -> None:
    with pytest.raises(ConfigError, match="got 2") as error:
        from_json(GptConfig, '{"objective": {"sequence_lenght": 2}}')
    assert error.value.where == "GptConfig.objective.sequence_lenght"


@pytest.mark.parametrize("size", SIZES)
def test_heads_divide_the_width(size: str) -> None:
    assert SIZES[size].width % SIZES[size].heads == 0
