"""Tests of the settings that BERT and GPT share."""

import pytest

from models.bert.config import BertBackboneConfig
from models.errors import ConfigError
from models.transformer_config import check_heads


def test_heads_share_the_width() -> None:
    check_heads(BertBackboneConfig(), hidden_size=12, num_heads=3)


def test_a_width_that_heads_cannot_share() -> None:
    with pytest.raises(ConfigError, match="10 is not a multiple of the 3 attention heads"):
        check_heads(BertBackboneConfig(), hidden_size=10, num_heads=3)
