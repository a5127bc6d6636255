"""Vocabularies of byte-level BPE: learned from word counts, or read from GPT-2's files."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping

from models.errors import DataRefused
from models.tokenizers.byte_bpe_files import (
    BYTE_LETTERS,
    END_OF_TEXT,
    BytePairs,
    read_byte_pairs,
    to_letters,
)
from models.tokenizers.config import ByteBpeConfig
from models.tokenizers.entries import listed
from models.tokenizers.merges import learn_merges

_log = logging.getLogger("polyseme.vocabulary")


def learn_byte_pairs(word_counts: Mapping[str, int], config: ByteBpeConfig) -> BytePairs:
    """Learns merges of the most frequent neighbors; equal counts give equal vocabularies.

    The entries are all 256 bytes in GPT-2's order, the merges, best first, and end-of-text.

    Args:
        word_counts: words, as `WordSplitter.words` returns them → number of occurrences.
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
            remedy="provide more text or lower vocabulary.min_count",
        )
    letters = sorted(BYTE_LETTERS)
    entries, merges = learn_merges(counts, letters, room)
    return BytePairs((*letters, *entries, END_OF_TEXT), tuple(merges))


def import_byte_pairs(path: pathlib.Path) -> BytePairs:
    """Reads a vocabulary from files like GPT-2's, and warns about entries without use.

    Entries that occur in no text keep their ids and are logged.

    Args:
        path: see `byte_bpe_files.read_byte_pairs`.

    Raises:
        ConfigError: see `byte_bpe_files.read_byte_pairs`.
    """
    pairs = read_byte_pairs(path)
    unused = pairs.unreachable
    if unused:
        _log.warning(
            "%s: %d entries are neither bytes nor results of merges, so no text has them: %s",
            path,
            len(unused),
            listed([repr(entry) for entry in unused]),
        )
    return pairs
