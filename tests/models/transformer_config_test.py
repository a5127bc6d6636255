"""Tests of the settings that BERT and GPT share."""

import pytest

from models.bert.config import BertBackboneConfig
from models.errors import ConfigError
from models.transformer_config import check_heads


def test_heads_that_divide_the_hidden_size_are_allowed() -> None:
    check_heads(BertBackboneConfig(), hidden_size=12, num_heads=3)


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="10 is not a multiple of the 3 attention heads"):
        check_heads(BertBackboneConfig(), hidden_size=10, num_heads=3)
