"""Tests of the bounds on the settings of tokenizers."""

from __future__ import annotations

import pytest

from models.errors import ConfigError
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig


@pytest.mark.parametrize(
    ("kind", "size"), [(WordPieceConfig, 6), (ByteBpeConfig, 256), (CharacterConfig, 3)]
)
def test_a_size_with_room_for_special_tokens_only_is_refused(kind: type, size: int) -> None:
    assert kind(vocabulary_size=size + 1).vocabulary_size == size + 1
    with pytest.raises(ConfigError, match=f"equal to {size + 1}, got {size}") as refused:
        kind(vocabulary_size=size)
    assert refused.value.where == "model.tokenizer.vocabulary_size"


@pytest.mark.parametrize("longest", [0, 257])
def test_a_maximum_word_length_out_of_bounds_is_refused(longest: int) -> None:
    with pytest.raises(ConfigError) as refused:
        WordPieceConfig(max_word_bytes=longest)
    assert refused.value.where == "model.tokenizer.max_word_bytes"
