"""WordPiece vocabularies: learned from word counts, or read from a file."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping

import numpy as np

from models.errors import ConfigError, DataRefused
from models.tokenizers.config import MAX_ENTRY_BYTES, WordPieceConfig
from models.tokenizers.entries import listed, read_entries
from models.tokenizers.merges import learn_merges

SPECIAL_TOKENS: Mapping[str, str] = {
    "padding": "[PAD]",
    "unknown": "[UNK]",
    "start": "[CLS]",
    "end": "[SEP]",
    "mask": "[MASK]",
}
"""Special tokens by role."""

CONTINUATION = "##"
"""The prefix of entries that do not begin a word."""

_log = logging.getLogger("polyseme.vocabulary")

_INITIAL = 0xF0000
_CONTINUING = 0x100000
"""Private-use planes. The n-th character of the alphabet is represented by the n-th code point of
the first plane at the beginning of a word, and of the second plane elsewhere."""


def matches_nothing(entry: str) -> bool:
    """Whether tensorflow-text rejects an entry, which no text could match anyway.

    NUL ends the keys of its trie (an entry that begins with NUL raises `zero-length key`, another
    entry with NUL raises `Cannot traverse`), U+0011 is its own marker (`Duplicated key`), and
    entries over `MAX_ENTRY_BYTES` do not fit. Texts never have these control characters, because
    normalization removes them.
    """
    letters = entry.removeprefix(CONTINUATION)
    return "\0" in entry or entry == "\x11" or len(letters.encode()) > MAX_ENTRY_BYTES


def learn_entries(word_counts: Mapping[str, int], config: WordPieceConfig) -> list[str]:
    """Learns the entries of a vocabulary by merging the most frequent neighbors.

    The algorithm is that of Hugging Face's `WordPieceTrainer`, but reproducible. The latter numbers
    its "##" characters in the order of a randomly seeded hash map, and breaks ties by number. Here
    first and later letters are separate symbols in a fixed order, so the same counts give the same
    vocabulary in every process.

    The entries are the special tokens, the characters by code point (as first letters of words and,
    with "##", as later letters), and the merges, best first. Characters take at most half of the
    room, the most frequent first. Room that the merges leave goes to the remaining characters.

    Args:
        word_counts: words, as `WordSplitter.words` returns them → number of occurrences.
        config: `vocabulary_size` is the number of entries to learn; a small text gives fewer.

    Raises:
        DataRefused: there is no word to learn from, or all words are too long.
    """
    room = config.vocabulary_size - len(SPECIAL_TOKENS)
    counts = {
        word: count
        for word, count in sorted(word_counts.items())
        if 0 < len(word.encode()) <= config.max_word_bytes and not matches_nothing(word)
    }
    too_long = sum(len(word.encode()) > config.max_word_bytes for word in word_counts)
    if too_long and not counts:
        raise DataRefused(
            f"all {too_long:,} distinct words are too long to learn from: more than"
            f" {config.max_word_bytes} bytes",
            where="vocabulary trainer",
            remedy="insert spaces between words if the language has none, such as Thai, or use a"
            " recipe whose tokens are bytes (gpt)",
        )
    if not counts:
        raise DataRefused(
            "the vocabulary has no word to learn from",
            where="vocabulary trainer",
            remedy="provide more text or lower vocabulary.min_count",
        )
    characters = _characters(counts)
    alphabet = _fitting(characters, max(room // 2, 2))
    entries = _forms(alphabet)
    entries += _merges(counts, alphabet, room)
    rest = {
        character: forms for character, forms in characters.items() if character not in alphabet
    }
    entries += _forms(_fitting(rest, room - len(entries)))
    return [*SPECIAL_TOKENS.values(), *entries]


def read_vocabulary(path: pathlib.Path) -> list[str]:
    """Reads the entries of a vocabulary file.

    Args:
        path: the file, UTF-8 with one entry per line, as google-research/bert and Hugging Face
            publish it.

    Raises:
        ConfigError: the file cannot be read, is empty or not UTF-8, or an entry is empty, repeated
            or missing; names the file and the line.
    """
    entries = read_entries(path)
    present = set(entries)
    missing = [token for token in SPECIAL_TOKENS.values() if token not in present]
    if missing:
        raise ConfigError(
            f"the vocabulary lacks {', '.join(missing)}",
            where=f"{path} ({len(entries)} lines)",
            remedy="add a line for each; the number of the line is its id",
        )
    return entries


def import_entries(path: pathlib.Path, config: WordPieceConfig) -> list[str]:
    """Reads the entries of a vocabulary file, and warns about entries without use.

    Entries that no text can match keep their ids and are logged.

    Raises:
        ConfigError: see `read_vocabulary`.
    """
    entries = read_vocabulary(path)
    unmatched = [number for number, entry in enumerate(entries, 1) if matches_nothing(entry)]
    if unmatched:
        _log.warning(
            "%s: the entries on lines %s match no text (NUL, U+0011 or too long)",
            path,
            listed([str(number) for number in unmatched]),
        )
    special = set(SPECIAL_TOKENS.values())
    capitals = sum(entry != entry.lower() for entry in entries if entry not in special)
    if config.lowercase and capitals > len(entries) // 10:
        _log.warning(
            "%s: %d entries with capitals match no text, because model.tokenizer.lowercase is True",
            path,
            capitals,
        )
    return entries


def _characters(counts: Mapping[str, int]) -> dict[str, int]:
    """The characters of words, most frequent first → the forms each needs: 1, or 2 with "##".

    Characters need the "##" form only if they occur in longer words. Chinese characters and
    punctuation never do.
    """
    letters = np.frombuffer("".join(counts).encode("utf-32-le"), np.uint32)
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    occurrences = np.fromiter(counts.values(), np.int64, len(counts))
    codes, indices = np.unique(letters, return_inverse=True)
    totals = np.zeros(len(codes), np.int64)
    np.add.at(totals, indices.ravel(), np.repeat(occurrences, lengths))
    joined = np.zeros(len(codes), bool)
    joined[indices.ravel()[np.repeat(lengths, lengths) > 1]] = True
    order = np.lexsort((codes, -totals))
    return {chr(codes[i]): 1 + int(joined[i]) for i in order}


def _fitting(characters: Mapping[str, int], room: int) -> dict[str, int]:
    """The first characters whose forms fit into the room together."""
    needed = np.cumsum(np.fromiter(characters.values(), np.int64, len(characters)))
    return dict(list(characters.items())[: int(np.searchsorted(needed, room, side="right"))])


def _forms(characters: Mapping[str, int]) -> list[str]:
    """The entries of characters: first letters, then the "##" forms of those that need them."""
    ordered = sorted(characters)
    return ordered + [CONTINUATION + c for c in ordered if characters[c] > 1]


def _merges(counts: Mapping[str, int], alphabet: Mapping[str, int], room: int) -> list[str]:
    """The entries of the best merges, best first, for the room that the alphabet leaves."""
    letters = sorted(alphabet)
    first = {ord(c): chr(_INITIAL + i) for i, c in enumerate(letters)}
    later = {ord(c): chr(_CONTINUING + i) for i, c in enumerate(letters)}
    words = {
        word[0].translate(first) + word[1:].translate(later): count
        for word, count in counts.items()
        if alphabet.keys() >= set(word)
    }
    symbols = [*first.values(), *(later[ord(c)] for c in letters if alphabet[c] > 1)]
    merged, _ = learn_merges(words, symbols, room)
    return [_entry(symbols, letters) for symbols in merged]


def _entry(symbols: str, letters: list[str]) -> str:
    """The vocabulary entry of a string of private-use symbols."""
    prefix = CONTINUATION if ord(symbols[0]) >= _CONTINUING else ""
    return prefix + "".join(letters[ord(symbol) & 0xFFFF] for symbol in symbols)
