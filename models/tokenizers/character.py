"""ELMo's character tokenizer: words as rows of 50 character ids (bilm-tf; Peters et al., 2018).

A character is a byte of UTF-8, so the encoder can read every word. There is also a vocabulary of
words, but only for the softmax of pretraining.
"""

from __future__ import annotations

import functools
import itertools
import logging
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.errors import ConfigError, DataRefused
from models.tokenizers.config import WORD_LENGTH as WORD_LENGTH
from models.tokenizers.config import CharacterConfig, WordPieceConfig
from models.tokenizers.entries import listed, read_entries
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.words import WordSplitter

CHARACTERS = 262
"""Number of ids: 0 at positions without a word, 1 + byte, and the five below."""
SENTENCE_START_CHARACTER = 257
SENTENCE_END_CHARACTER = 258
WORD_START = 259
WORD_END = 260
PADDING = 261
"""Fills a row after the end of the word. At positions without a word the whole row is 0."""

SPECIAL_TOKENS: Mapping[str, str] = {"start": "<S>", "end": "</S>", "unknown": "<UNK>"}
"""Special tokens of the softmax by role. They have its first ids, in this order."""

VOCABULARY_FILE = "vocab.txt"

_log = logging.getLogger("polyseme.vocabulary")
_MAX_BYTES = WORD_LENGTH - 2
# Words never have control characters, because the word splitter removes them.
_PACKED_MARKERS = {SENTENCE_START_CHARACTER: b"\x01", SENTENCE_END_CHARACTER: b"\x02"}
_NO_ENTRY = "!!!MAXTERMID"  # a line of some published files, to which bilm-tf gives no id
_TEXTS = tf.TensorSpec([None], tf.string, "texts")
_SPLITTER = WordPieceConfig(lowercase=False)


def _marker(character: int) -> np.ndarray:
    """The row of a marker of sentences, int32 `[50]`."""
    row = np.full(WORD_LENGTH, PADDING, np.int32)
    row[:3] = WORD_START, character, WORD_END
    row.setflags(write=False)
    return row


SENTENCE_START = _marker(SENTENCE_START_CHARACTER)
"""The row of the token that begins a sentence, int32 `[50]`. `tokenize` never returns it."""
SENTENCE_END = _marker(SENTENCE_END_CHARACTER)
"""The row of the token that ends a sentence, int32 `[50]`. `tokenize` never returns it."""


class _Index(NamedTuple):
    """The rows of the words of a vocabulary, sorted by their hashes."""

    multipliers: np.ndarray
    """uint64 `[50]`; the hash of a row is its dot product with them, modulo 2⁶⁴."""
    hashes: np.ndarray
    """Distinct, uint64 `[rows]`."""
    rows: np.ndarray
    """int16 `[rows, 50]`."""
    ids: np.ndarray
    """int32 `[rows]`."""


class CharacterTokenizer(Tokenizer):
    """Text → rows of character ids in graph, one row per word.

    `WordSplitter` splits texts into words, without lower-casing. The encoder sees only the first 48
    bytes of a longer word. So words that begin with the same 48 bytes are the same word to the
    encoder and to the vocabulary, in which the first of them counts.

    A token is a row: `tokenize` returns int32 `[batch, (words), 50]`, whose last dimension is
    uniform, and `tokens` accepts `[…, 50]`. `vocabulary` and `special_ids` belong to the softmax.

    Args:
        vocabulary: distinct words of the softmax in the order of their ids, `SPECIAL_TOKENS` first.
        config: `vocabulary_size` is ignored.
    """

    config_class = CharacterConfig
    reads_unknown = True

    def __init__(self, vocabulary: Sequence[str], config: CharacterConfig) -> None:
        super().__init__()
        self.config = config
        self._joined = "\n".join(vocabulary)  # as one string: tf.Module would wrap a list
        self._splitter = WordSplitter(_SPLITTER)
        letters = [b""] * CHARACTERS
        letters[1:257] = [bytes([byte]) for byte in range(256)]
        letters[SENTENCE_START_CHARACTER] = SPECIAL_TOKENS["start"].encode()
        letters[SENTENCE_END_CHARACTER] = SPECIAL_TOKENS["end"].encode()
        self._letters = tf.constant(letters, tf.string)

    @functools.cached_property
    def vocabulary(self) -> Sequence[str]:  # type: ignore[override]  # cached, still read-only
        """The words of the softmax in the order of their ids."""
        return self._joined.split("\n")

    @property
    def special_ids(self) -> Mapping[str, int]:
        """The ids of the softmax by role: `start`, `end`, `unknown`."""
        return {role: number for number, role in enumerate(SPECIAL_TOKENS)}

    @classmethod
    def learn(cls, word_counts: Mapping[str, int], config: CharacterConfig) -> CharacterTokenizer:
        """Learns the most frequent words; of equally frequent words those that sort first.

        Words that begin with the same 48 bytes count as one word, the most frequent of them.

        Args:
            word_counts: words, as `WordSplitter.words` returns them → number of occurrences.
            config: `vocabulary_size` is the number of words, special tokens included; a small text
                gives fewer.

        Raises:
            DataRefused: there is no word to learn.
        """
        room = config.vocabulary_size - len(SPECIAL_TOKENS)
        excluded = {"", *SPECIAL_TOKENS.values()}
        names: dict[bytes, str] = {}
        counts: Counter[bytes] = Counter()
        for word, count in sorted(word_counts.items(), key=lambda item: (-item[1], item[0])):
            if word not in excluded:
                prefix = word.encode()[:_MAX_BYTES]
                names.setdefault(prefix, word)
                counts[prefix] += count
        if not counts:
            raise DataRefused(
                "the vocabulary has no word to learn from",
                where="vocabulary trainer",
                remedy="provide more text or lower vocabulary.min_count",
            )
        ranked = sorted((-count, names[prefix]) for prefix, count in counts.items())
        words = [word for _, word in ranked[:room]]
        return cls([*SPECIAL_TOKENS.values(), *words], config)

    @classmethod
    def import_vocabulary(cls, path: pathlib.Path, config: CharacterConfig) -> CharacterTokenizer:
        """Imports a vocabulary file in bilm-tf's layout.

        Some words never come from a text: texts are split differently, or an earlier word begins
        with the same 48 bytes. They keep their ids and are logged.

        Raises:
            ConfigError: the file cannot be used; names the file and the line.
        """
        tokenizer = cls(read_vocabulary(path), config)
        first = len(SPECIAL_TOKENS)
        words = tokenizer.vocabulary[first:]
        rows = tokenizer.tokenize(tf.constant(words, tf.string))
        single = np.flatnonzero(rows.row_lengths().numpy() == 1)
        ids = tokenizer.word_ids(rows.flat_values.numpy()[rows.row_starts().numpy()[single]])
        unused = np.setdiff1d(np.arange(len(words)), single[ids == single + first])
        if len(unused):
            _log.warning(
                "%s: %d of %d words never come from a text: %s",
                path,
                len(unused),
                len(words),
                listed([repr(words[number]) for number in unused]),
            )
        return tokenizer

    @classmethod
    def word_splitter(cls, config: CharacterConfig) -> WordSplitter:
        """The word splitter of all tokenizers of this class."""
        del config
        return WordSplitter(_SPLITTER)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `Tokenizer.tokenize`: int32 `[batch, (words), 50]`."""
        words = self._splitter.words(texts)
        return words.with_flat_values(self.characters(words.flat_values))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """See `Tokenizer.tokenize_with_offsets`: rows as `tokenize`, starts and limits by word.

        Offsets refer to the original text and span the whole word, even if it is cut to 48 bytes.
        """
        words, starts, limits = self._splitter.words_with_offsets(texts)
        return words.with_flat_values(self.characters(words.flat_values)), starts, limits

    @staticmethod
    def characters(words: tf.Tensor) -> tf.Tensor:
        """The rows of words: string `[…]` → int32 `[…, 50]`."""
        lengths = tf.minimum(tf.strings.length(words), _MAX_BYTES)[..., tf.newaxis]
        codes = tf.cast(tf.io.decode_raw(words, tf.uint8, fixed_length=_MAX_BYTES), tf.int32)
        positions = tf.range(_MAX_BYTES)
        codes = tf.where(positions < lengths, codes + 1, PADDING)
        codes = tf.where(positions == lengths, WORD_END, codes)
        last = tf.where(lengths == _MAX_BYTES, WORD_END, PADDING)
        return tf.concat([tf.fill(tf.shape(lengths), WORD_START), codes, last], axis=-1)

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """The words of rows: `[…, 50]` → string `[…]`, dense or ragged.

        A character that was cut after 48 bytes is left out, so that each word is valid UTF-8. The
        markers of sentences become "<S>" and "</S>", and rows of 0 become empty strings.
        """
        if isinstance(ids, tf.RaggedTensor):
            return ids.with_flat_values(self.tokens(ids.flat_values))
        joined = tf.strings.reduce_join(tf.gather(self._letters, ids), axis=-1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="ignore")

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Words joined by single spaces: `[batch, (words), 50]` → string `[batch]`."""
        return tf.strings.reduce_join(self.tokens(ids), axis=1, separator=" ")

    def word_ids(self, rows: np.ndarray) -> np.ndarray:
        """The ids of rows in the softmax, int32 `[n]`; other rows are unknown.

        Sentence markers have their own ids. Rows are looked up by their hash and then compared, so
        a collision never gives a wrong id.

        Args:
            rows: integers `[n, 50]`.
        """
        index = self._index
        position = np.searchsorted(index.hashes, hash_rows(rows, index.multipliers))
        position = np.minimum(position, len(index.hashes) - 1)
        equal = (index.rows[position] == rows).all(axis=1)
        return np.where(equal, index.ids[position], np.int32(self.special_ids["unknown"]))

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which rows `[tokens, 50]` are not in the softmax, bool `[tokens]`."""
        return np.asarray(self.word_ids(ids) == self.special_ids["unknown"])

    @functools.cached_property
    def _index(self) -> _Index:
        words = tf.constant(self.vocabulary[len(SPECIAL_TOKENS) :], tf.string)
        word_rows = self.characters(words).numpy()
        rows = np.concatenate([[SENTENCE_START, SENTENCE_END], word_rows]).astype(np.int16)
        ids = np.concatenate([[0, 1], np.arange(len(word_rows)) + len(SPECIAL_TOKENS)])
        for seed in itertools.count():  # another seed is needed once in millions of cases
            multipliers = np.random.default_rng(seed).integers(
                0, 2**64, WORD_LENGTH, np.uint64
            ) | np.uint64(1)
            hashes = hash_rows(rows, multipliers)
            order = np.argsort(hashes, kind="stable")  # keeps the order of equal rows
            hashes, ordered = hashes[order], rows[order]
            repeated = hashes[1:] == hashes[:-1]
            if (ordered[1:] == ordered[:-1])[repeated].all():
                break
        first = np.concatenate([[True], ~repeated])
        return _Index(
            multipliers, hashes[first], ordered[first], ids[order][first].astype(np.int32)
        )

    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """Writes `vocab.txt`, one word per line."""
        (folder / VOCABULARY_FILE).write_bytes((self._joined + "\n").encode())

    @classmethod
    def _read(cls, folder: pathlib.Path, config: CharacterConfig) -> CharacterTokenizer:
        return cls(read_vocabulary(folder / VOCABULARY_FILE), config)


def read_vocabulary(path: pathlib.Path) -> list[str]:
    """Reads a vocabulary file in bilm-tf's layout: one word per line, special tokens first.

    Raises:
        ConfigError: the file cannot be used; names the file and the line.
    """
    entries = read_entries(path)
    for number, (entry, expected) in enumerate(
        itertools.zip_longest(entries[: len(SPECIAL_TOKENS)], SPECIAL_TOKENS.values()), 1
    ):
        if entry != expected:
            raise ConfigError(
                f"the vocabulary has {entry!r} instead of {expected!r}"
                if entry is not None
                else f"the vocabulary lacks {expected!r}",
                where=f"{path}:{number}",
                remedy=f"begin the file with the lines {', '.join(SPECIAL_TOKENS.values())}",
            )
    return [entry for entry in entries if entry != _NO_ENTRY]


def pack_rows(rows: np.ndarray) -> np.ndarray:
    """Packs rows `[n, 50]` into bytes, object `[n]`.

    A word becomes its own bytes, and a marker a byte that no word has.
    """
    words = np.empty(len(rows), object)
    for index, row in enumerate(rows):
        if row[1] in _PACKED_MARKERS:
            words[index] = _PACKED_MARKERS[row[1]]
        else:
            words[index] = (row[(row > 0) & (row <= 256)] - 1).astype(np.uint8).tobytes()
    return words


def unpack_rows(words: tf.Tensor) -> tf.Tensor:
    """Reverses `pack_rows` in graph: string `[…]` → int32 `[…, 50]`; no bytes become a row of 0."""
    rows = CharacterTokenizer.characters(words)
    for marker, row in (
        (SENTENCE_START_CHARACTER, SENTENCE_START),
        (SENTENCE_END_CHARACTER, SENTENCE_END),
    ):
        rows = tf.where((words == _PACKED_MARKERS[marker])[..., tf.newaxis], row, rows)
    return tf.where((words == b"")[..., tf.newaxis], 0, rows)


def hash_rows(rows: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Hashes of rows of small numbers: `[n, 50]` and odd uint64 `[50]` → uint64 `[n]`."""
    return np.einsum("nk,k->n", rows, multipliers, dtype=np.uint64, casting="unsafe")
