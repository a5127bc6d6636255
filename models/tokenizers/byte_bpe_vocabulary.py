"""Learns vocabularies of byte-level BPE from word counts, or imports them from GPT-2's files."""

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
    """Learns merges of the most frequent neighbours; equal counts give equal vocabularies.

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
    pairs = BytePairs((*letters, *entries, END_OF_TEXT), tuple(merges))
    return ByteBpeTokenizer(pairs, config)


def import_vocabulary(path: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
    """Imports a vocabulary from files like GPT-2's.

    Entries that occur in no text keep their ids and are logged.

    Args:
        path: the folder of the files, or `encoder.json` in the folder of `vocab.bpe`; see
            `byte_bpe_files.read_byte_pairs`.
        config: `vocabulary_size` is ignored.

    Raises:
        ConfigError: a file is missing or cannot be used; names the file and the line.
    """
    pairs = read_byte_pairs(path)
    unused = pairs.unreachable
    if unused:
        _LOG.warning(
            "%s: %d entries are neither bytes nor results of merges, so no text has them: %s",
            path,
            len(unused),
            ", ".join(map(repr, unused[:10])) + (", …" if len(unused) > 10 else ""),
        )
    return ByteBpeTokenizer(pairs, config)
