"""Words as rows of 50 character ids, as bilm-tf gives them to ELMo (Peters et al., 2018).

A character is a byte of UTF-8, so no word is unknown to the encoder. A vocabulary of words there is
too, but for the softmax of pretraining only.
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
from models.tokenizers.entries import read_entries
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.words import WordSplitter

CHARACTERS = 262
"""Ids: 0 at masked positions, 1 + byte, and the five below."""
SENTENCE_START_CHARACTER = 257
SENTENCE_END_CHARACTER = 258
WORD_START = 259
WORD_END = 260
PADDING = 261
"""After a word's end; a row of a position that is masked is all 0."""

SPECIAL_TOKENS: Mapping[str, str] = {"start": "<S>", "end": "</S>", "unknown": "<UNK>"}
"""Special tokens of the softmax by role; these are its first ids, in this order."""

VOCABULARY_FILE = "vocab.txt"

_LOG = logging.getLogger("polyseme.vocabulary")
_MOST_BYTES = WORD_LENGTH - 2
# The word splitter leaves no control character in a word.
_PACKED_MARKERS = {SENTENCE_START_CHARACTER: b"\x01", SENTENCE_END_CHARACTER: b"\x02"}
_NO_ENTRY = "!!!MAXTERMID"  # in some published files; bilm-tf gives the line no id
_TEXTS = tf.TensorSpec([None], tf.string, "texts")
_SPLITTER = WordPieceConfig(lowercase=False)


def _marker(character: int) -> np.ndarray:
    """The row of a sentence's marker, int32 `[50]`."""
    row = np.full(WORD_LENGTH, PADDING, np.int32)
    row[:3] = WORD_START, character, WORD_END
    row.setflags(write=False)
    return row


SENTENCE_START = _marker(SENTENCE_START_CHARACTER)
"""The row of the token that begins a sentence, int32 `[50]`. No text gives it."""
SENTENCE_END = _marker(SENTENCE_END_CHARACTER)
"""The row of the token that ends a sentence, likewise."""


class _Index(NamedTuple):
    """The rows of a vocabulary, in the order of their hashes."""

    multipliers: np.ndarray
    """uint64 `[50]`; a row's hash is the product of both, modulo 2⁶⁴."""
    hashes: np.ndarray
    """uint64 `[rows]`, distinct."""
    rows: np.ndarray
    """int16 `[rows, 50]`."""
    ids: np.ndarray
    """int32 `[rows]`."""


class CharacterTokenizer(Tokenizer):
    """Text → rows of character ids in graph, a row a word.

    Words are cut as `WordSplitter` cuts them, cased. Of a word of more than 48 bytes the encoder
    sees the first 48, so words that begin with the same 48 bytes are one to it, and one word of the
    vocabulary: the first of them.

    A token is a row here: `tokenize` gives int32 `[batch, (words), 50]`, where the last dimension
    is uniform, and `tokens` takes `[…, 50]`. `vocabulary` and `special_ids` are the softmax's.

    Args:
        vocabulary: the softmax's words in the order of their ids, distinct, `SPECIAL_TOKENS` first.
        config: `vocabulary_size` is not looked at.
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
        """The softmax's words in the order of their ids."""
        return self._joined.split("\n")

    @property
    def special_ids(self) -> Mapping[str, int]:
        """The softmax's ids by role: `start`, `end`, `unknown`."""
        return {role: number for number, role in enumerate(SPECIAL_TOKENS)}

    @classmethod
    def learn(cls, word_counts: Mapping[str, int], config: CharacterConfig) -> CharacterTokenizer:
        """See `learn`."""
        return learn(word_counts, config)

    @classmethod
    def import_vocabulary(cls, path: pathlib.Path, config: CharacterConfig) -> CharacterTokenizer:
        """See `import_vocabulary`."""
        return import_vocabulary(path, config)

    @classmethod
    def word_splitter(cls, config: CharacterConfig) -> WordSplitter:
        """Cuts texts into words as every tokenizer of this class does."""
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

        Offsets refer to the text as given and are of the whole word, however long it is.
        """
        words, starts, limits = self._splitter.words_with_offsets(texts)
        return words.with_flat_values(self.characters(words.flat_values)), starts, limits

    @staticmethod
    def characters(words: tf.Tensor) -> tf.Tensor:
        """Rows of words: string `[…]` → int32 `[…, 50]`."""
        lengths = tf.minimum(tf.strings.length(words), _MOST_BYTES)[..., tf.newaxis]
        codes = tf.cast(tf.io.decode_raw(words, tf.uint8, fixed_length=_MOST_BYTES), tf.int32)
        places = tf.range(_MOST_BYTES)
        codes = tf.where(places < lengths, codes + 1, PADDING)
        codes = tf.where(places == lengths, WORD_END, codes)
        last = tf.where(lengths == _MOST_BYTES, WORD_END, PADDING)
        return tf.concat([tf.fill(tf.shape(lengths), WORD_START), codes, last], axis=-1)

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """The words of rows: `[…, 50]` → string `[…]`, dense or ragged.

        Without a character that the cut after 48 bytes tore, so that each is UTF-8. The markers of
        sentences give "<S>" and "</S>", rows of 0 nothing.
        """
        if isinstance(ids, tf.RaggedTensor):
            return ids.with_flat_values(self.tokens(ids.flat_values))
        joined = tf.strings.reduce_join(tf.gather(self._letters, ids), axis=-1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="ignore")

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Words joined by single spaces: `[batch, (words), 50]` → string `[batch]`."""
        return tf.strings.reduce_join(self.tokens(ids), axis=1, separator=" ")

    def word_ids(self, rows: np.ndarray) -> np.ndarray:
        """The softmax's ids of rows, int32 `[n]`; a row that is no word of it is unknown.

        Sentence markers have their own ids. Rows are found by their hash and then compared, so no
        collision gives a wrong id.

        Args:
            rows: integers `[n, 50]`.
        """
        index = self._index
        place = np.searchsorted(index.hashes, hash_rows(rows, index.multipliers))
        place = np.minimum(place, len(index.hashes) - 1)
        same = (index.rows[place] == rows).all(axis=1)
        return np.where(same, index.ids[place], np.int32(self.special_ids["unknown"]))

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which rows `[tokens, 50]` are no word of the softmax, bool `[tokens]`."""
        return np.asarray(self.word_ids(ids) == self.special_ids["unknown"])

    @functools.cached_property
    def _index(self) -> _Index:
        words = tf.constant(self.vocabulary[len(SPECIAL_TOKENS) :], tf.string)
        spelled = self.characters(words).numpy()
        rows = np.concatenate([[SENTENCE_START, SENTENCE_END], spelled]).astype(np.int16)
        ids = np.concatenate([[0, 1], np.arange(len(spelled)) + len(SPECIAL_TOKENS)])
        for seed in itertools.count():  # the first one does, but by a chance of 1 in millions
            multipliers = np.random.default_rng(seed).integers(
                0, 2**64, WORD_LENGTH, np.uint64
            ) | np.uint64(1)
            hashes = hash_rows(rows, multipliers)
            order = np.argsort(hashes, kind="stable")  # of equal rows, the first one stays first
            hashes, ordered = hashes[order], rows[order]
            again = hashes[1:] == hashes[:-1]
            if (ordered[1:] == ordered[:-1])[again].all():
                break
        first = np.concatenate([[True], ~again])
        return _Index(
            multipliers, hashes[first], ordered[first], ids[order][first].astype(np.int32)
        )

    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """`vocab.txt`, a word a line."""
        (folder / VOCABULARY_FILE).write_bytes((self._joined + "\n").encode())

    @classmethod
    def _read(cls, folder: pathlib.Path, config: CharacterConfig) -> CharacterTokenizer:
        return cls(read_vocabulary(folder / VOCABULARY_FILE), config)


def read_vocabulary(path: pathlib.Path) -> list[str]:
    """The words of a vocabulary file in bilm-tf's layout: a word a line, special tokens first.

    Raises:
        ConfigError: the file cannot be used; names file and line.
    """
    entries = read_entries(path)
    for number, (entry, wanted) in enumerate(
        itertools.zip_longest(entries[: len(SPECIAL_TOKENS)], SPECIAL_TOKENS.values()), 1
    ):
        if entry != wanted:
            raise ConfigError(
                f"the vocabulary has {entry!r} where {wanted!r} has to be"
                if entry is not None
                else f"the vocabulary lacks {wanted!r}",
                where=f"{path}:{number}",
                remedy=f"begin the file with a line each of {', '.join(SPECIAL_TOKENS.values())}",
            )
    return [entry for entry in entries if entry != _NO_ENTRY]


def import_vocabulary(path: pathlib.Path, config: CharacterConfig) -> CharacterTokenizer:
    """A tokenizer of a given vocabulary file in bilm-tf's layout.

    Words that no text can give, as texts are cut otherwise or another word begins with the same 48
    bytes, keep their ids and are logged.

    Raises:
        ConfigError: the file cannot be used; names file and line.
    """
    tokenizer = CharacterTokenizer(read_vocabulary(path), config)
    first = len(SPECIAL_TOKENS)
    words = tokenizer.vocabulary[first:]
    rows = tokenizer.tokenize(tf.constant(words, tf.string))
    single = np.flatnonzero(rows.row_lengths().numpy() == 1)
    found = tokenizer.word_ids(rows.flat_values.numpy()[rows.row_starts().numpy()[single]])
    dead = np.setdiff1d(np.arange(len(words)), single[found == single + first])
    if len(dead):
        _LOG.warning(
            "%s: %d of %d words can come of no text: %s",
            path,
            len(dead),
            len(words),
            ", ".join(repr(words[i]) for i in dead[:10]) + (", …" if len(dead) > 10 else ""),
        )
    return tokenizer


def learn(word_counts: Mapping[str, int], config: CharacterConfig) -> CharacterTokenizer:
    """The most frequent words; of equally frequent ones those that sort first.

    Words that begin with the same 48 bytes count as one, the most frequent of them.

    Args:
        word_counts: occurrences of words, as `WordSplitter.words` gives them.
        config: `vocabulary_size` is the number of words, special tokens included; a small text
            gives fewer.

    Raises:
        DataRefused: there is no word to learn.
    """
    room = config.vocabulary_size - len(SPECIAL_TOKENS)
    never = {"", *SPECIAL_TOKENS.values()}
    names: dict[bytes, str] = {}
    counts: Counter[bytes] = Counter()
    for word, count in sorted(word_counts.items(), key=lambda item: (-item[1], item[0])):
        if word not in never:
            seen = word.encode()[:_MOST_BYTES]
            names.setdefault(seen, word)
            counts[seen] += count
    if not counts:
        raise DataRefused(
            "the vocabulary has no word to learn from",
            where="vocabulary trainer",
            remedy="give more text or lower vocabulary.min_count",
        )
    ranked = sorted((-count, names[seen]) for seen, count in counts.items())
    words = [word for _, word in ranked[:room]]
    return CharacterTokenizer([*SPECIAL_TOKENS.values(), *words], config)


def pack_rows(rows: np.ndarray) -> np.ndarray:
    """Rows `[n, 50]` as bytes, object `[n]`: a word's own, a marker's a byte that no word has."""
    words = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        if row[1] in _PACKED_MARKERS:
            words[place] = _PACKED_MARKERS[row[1]]
        else:
            words[place] = (row[(row > 0) & (row <= 256)] - 1).astype(np.uint8).tobytes()
    return words


def unpack_rows(words: tf.Tensor) -> tf.Tensor:
    """`pack_rows` undone, in graph: string `[…]` → int32 `[…, 50]`; of no bytes, a row of 0."""
    rows = CharacterTokenizer.characters(words)
    for marker, row in (
        (SENTENCE_START_CHARACTER, SENTENCE_START),
        (SENTENCE_END_CHARACTER, SENTENCE_END),
    ):
        rows = tf.where((words == _PACKED_MARKERS[marker])[..., tf.newaxis], row, rows)
    return tf.where((words == b"")[..., tf.newaxis], 0, rows)


def hash_rows(rows: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Hashes of rows of small numbers: `[n, 50]`, odd uint64 `[50]` → uint64 `[n]`."""
    return np.einsum("nk,k->n", rows, multipliers, dtype=np.uint64, casting="unsafe")
