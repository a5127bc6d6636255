"""Byte-level BPE vocabularies: learned from word counts or imported from GPT-2's files."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping

from models.errors import DataRefused
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.byte_bpe_files import (
    BYTE_LETTERS,
    END_OF_TEXT,
    BytePairs,
    read_byte_pairs,
    to_letters,
)
from models.tokenizers.config import ByteBpeConfig
from models.tokenizers.merges import learn_merges

_LOG = logging.getLogger("polyseme.vocabulary")


def learn(word_counts: Mapping[str, int], config: ByteBpeConfig) -> ByteBpeTokenizer:
    """Learns merges of the most frequent neighbours, the same from the same counts in any process.

    The entries are the 256 bytes in GPT-2's order, whether the text has them or not, the merges,
    best first, and end-of-text.

    Args:
        word_counts: occurrences of words, as `WordSplitter.words` gives them.
        config: `vocabulary_size` is the number of entries to learn; a small text gives fewer.

    Raises:
        DataRefused: there is no word to learn from.
    """
    room = config.vocabulary_size - 1
    counts = {to_letters(word): count for word, count in sorted(word_counts.items()) if word}
    if not counts:
        raise DataRefused(
            "the vocabulary has no word to learn from",
            where="vocabulary trainer",
            remedy="give more text or lower vocabulary.min_count",
        )
    letters = sorted(BYTE_LETTERS)
    entries, merges = learn_merges(counts, letters, room)
    pairs = BytePairs((*letters, *entries, END_OF_TEXT), tuple(merges))
    return ByteBpeTokenizer(pairs, config)


def import_vocabulary(path: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
    """A tokenizer of given files, as GPT-2's are published.

    Entries that no text can give keep their ids and are logged.

    Args:
        path: the folder of the files, or `encoder.json` with `vocab.bpe` beside it; see
            `byte_bpe_files.read_byte_pairs`.
        config: `vocabulary_size` is not looked at.

    Raises:
        ConfigError: a file is missing or cannot be used; names file and line.
    """
    pairs = read_byte_pairs(path)
    dead = pairs.unreachable
    if dead:
        _LOG.warning(
            "%s: %d entries are neither bytes nor made by merges, and so in no text: %s",
            path,
            len(dead),
            ", ".join(map(repr, dead[:10])) + (", …" if len(dead) > 10 else ""),
        )
    return ByteBpeTokenizer(pairs, config)
