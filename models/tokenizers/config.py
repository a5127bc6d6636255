"""Configuration of the tokenizers; imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated

import pydantic

from models.settings import Affects, Settings

WORD_LENGTH = 50
"""Character ids of a word in ELMo, including its two markers."""
MAX_ENTRY_BYTES = 256
"""Bytes of the longest entry that tensorflow-text's trie can hold."""


@dataclasses.dataclass(frozen=True)
class WordPieceConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """WordPiece as in BERT; see models/tokenizers/wordpiece.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=7)] = 30_522
    """Entries to learn, special tokens included; an imported vocabulary has its own size. There are
    five special tokens, and the smallest text needs two more entries."""
    lowercase: bool = True
    """Whether to lower-case and strip accents, as the uncased models do."""
    max_word_bytes: Annotated[int, pydantic.Field(ge=1, le=MAX_ENTRY_BYTES)] = 100
    """Maximum UTF-8 bytes of a word; longer words become [UNK]."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files of an imported vocabulary: this one only."""
        return (path,)


@dataclasses.dataclass(frozen=True)
class ByteBpeConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """Byte-level BPE as in GPT-2; see models/tokenizers/byte_bpe.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=257)] = 50_257
    """Entries to learn, the 256 bytes and end-of-text included; an imported vocabulary has its own
    size."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files of an imported vocabulary: its entries and its merges.

        Raises:
            ConfigError: the name of the path is not one of the published names.
        """
        from models.tokenizers.byte_bpe_files import locate

        return locate(path)


@dataclasses.dataclass(frozen=True)
class CharacterConfig(Settings, place="model.tokenizer", affects=Affects.EXAMPLES):
    """Words as characters, as in ELMo; see models/tokenizers/character.py."""

    vocabulary_size: Annotated[int, pydantic.Field(ge=4)] = 793_471
    """Words of the softmax of pretraining, special tokens included; an imported vocabulary has its
    own size. The default is that of the 1 Billion Word Benchmark (Chelba et al., 2013)."""

    def vocabulary_files(self, path: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """The files of an imported vocabulary: this one only."""
        return (path,)
