import dataclasses
import json

import pytest

from models.config import from_json
from models.elmo.config import SIZES, ElmoBackboneConfig
from models.errors import ConfigError


@pytest.mark.parametrize("size", SIZES)
def test_a_configuration_comes_back_from_json(size: str) -> None:
    text = json.dumps(dataclasses.asdict(SIZES[size]))
    assert from_json(ElmoBackboneConfig, text) == SIZES[size]


def test_a_filter_is_a_pair() -> None:
    with pytest.raises(ConfigError) as refused:
        from_json(ElmoBackboneConfig, '{"filters": [[1, 32], [2]]}')
    assert refused.value.where is not None
    assert refused.value.where.startswith("ElmoBackboneConfig.filters.1")
