"""Configuration of the tokenizers. Free of TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

import pydantic

from models.settings import Affects, Settings

WORD_LENGTH = 50
"""Character ids of a word in ELMo, with its two markers."""
LONGEST_ENTRY = 256
"""Bytes of the longest entry that tensorflow-text's trie can hold."""


@dataclasses.dataclass(frozen=True)
class WordPieceConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """WordPiece as in BERT; see models/tokenizers/wordpiece.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=7)] = 30_522
    """Entries to learn, special tokens included; a given vocabulary file has its own size. There
    are five special tokens, and the least text needs two more entries."""
    lowercase: bool = True
    """Lower-case and strip accents, as the uncased models do."""
    max_word_bytes: Annotated[int, pydantic.Field(ge=1, le=LONGEST_ENTRY)] = 100
    """Words longer than this, in UTF-8 bytes, become [UNK]."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files that a given vocabulary is read from: the one."""
        return (path,)


@dataclasses.dataclass(frozen=True)
class ByteBpeConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """Byte-level BPE as in GPT-2; see models/tokenizers/byte_bpe.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=257)] = 50_257
    """Entries to learn, the 256 bytes and end-of-text included; a given vocabulary has its own."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files that a given vocabulary is read from: entries and merges.

        Raises:
            ConfigError: the path does not tell where they are.
        """
        from models.tokenizers.byte_bpe_files import locate

        return locate(path)


@dataclasses.dataclass(frozen=True)
class CharacterConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """Words as characters, as in ELMo; see models/tokenizers/character.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=4)] = 793_471
    """Words that the softmax of pretraining knows, special tokens included; a given vocabulary file
    has its own size. The default is the 1 Billion Word Benchmark's (Chelba et al., 2013)."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files that a given vocabulary is read from: the one."""
        return (path,)
