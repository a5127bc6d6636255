"""Byte-level BPE as in GPT-2 (Radford et al., 2019, section 2.2), in graph.

`byte_bpe_words` has the rules of word splitting. The UTF-8 bytes of a word are merged. In each
step the neighbors whose concatenation has the lowest rank are merged, the leftmost if there are
several, until no neighbors can be merged. tensorflow-text's SentencePiece does the merging. A table
of the words that are entries themselves saves most of this work.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.byte_bpe_files import (
    BYTE_LETTERS,
    END_OF_TEXT,
    BytePairs,
    read_byte_pairs,
)
from models.tokenizers.byte_bpe_vocabulary import import_byte_pairs, learn_byte_pairs
from models.tokenizers.byte_bpe_words import (
    ByteBpeWordSplitter,
    is_utf8,
    join_rows,
    split_chunks,
    split_words,
    with_valid_utf8,
)
from models.tokenizers.config import ByteBpeConfig
from models.tokenizers.sentencepiece_model import bpe_model
from models.tokenizers.tokenizer import Tokenizer, WordSplitter

_Encode = Callable[[tf.Tensor], tf.RaggedTensor]
"""String `[n]` → int32 `[n, (tokens)]`."""


_TEXTS = tf.TensorSpec([None], tf.string, "texts")


class ByteBpeTokenizer(Tokenizer):
    """Text → GPT-2's ids in graph, and back without loss.

    Any bytes are accepted: invalid UTF-8 is read as U+FFFD. A `tf.Module` that holds this object
    can be saved and served.

    Args:
        pairs: entries and merges, including all bytes and end-of-text.
        config: `vocabulary_size` is ignored.
    """

    config_class = ByteBpeConfig

    def __init__(self, pairs: BytePairs, config: ByteBpeConfig) -> None:
        super().__init__()
        self.config = config
        self._pairs = pairs
        self._entries = tf.constant(pairs.entries, tf.string)
        self._bytes = tf.constant(pairs.token_bytes(), tf.string)
        self._lengths = tf.cast(tf.strings.length(self._bytes), tf.int64)
        self._letters = tf.constant([ord(letter) for letter in BYTE_LETTERS])
        self._model = bpe_model(pairs.entries, BYTE_LETTERS, pairs.ranks, END_OF_TEXT)
        self._whole = self._whole_words()

    @property
    def vocabulary(self) -> Sequence[str]:
        """The entries in the order of their ids, with bytes as printable characters (`Ġthe`)."""
        return self._pairs.entries

    @functools.cached_property
    def token_bytes(self) -> Sequence[bytes]:
        """The bytes of each entry in the order of their ids; empty for end-of-text."""
        return self._pairs.token_bytes()

    @functools.cached_property
    def special_ids(self) -> Mapping[str, int]:  # type: ignore[override]  # cached, still read-only
        """The id of `end_of_text`. GPT-2 has no padding, and no byte is unknown."""
        return {"end_of_text": self.vocabulary.index(END_OF_TEXT)}

    @classmethod
    def learn(cls, word_counts: Mapping[str, int], config: ByteBpeConfig) -> ByteBpeTokenizer:
        """See `models.tokenizers.byte_bpe_vocabulary.learn_byte_pairs`."""
        return cls(learn_byte_pairs(word_counts, config), config)

    @classmethod
    def import_vocabulary(cls, path: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
        """See `models.tokenizers.byte_bpe_vocabulary.import_byte_pairs`."""
        return cls(import_byte_pairs(path), config)

    @classmethod
    def word_splitter(cls, config: ByteBpeConfig) -> WordSplitter:
        """The word splitter of the tokenizers with this configuration."""
        return ByteBpeWordSplitter(config)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `Tokenizer.tokenize`."""
        return _encode_distinct(split_chunks(with_valid_utf8(texts)), self._encode_chunks)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """See `Tokenizer.tokenize_with_offsets`.

        The tokens of a text cover it without gaps. A token may begin or end inside a character. If
        U+FFFD, which has three bytes, replaces fewer invalid bytes, its tokens share their offsets.
        """
        ids = self.tokenize(texts)
        lengths = tf.gather(self._lengths, ids.flat_values)
        ends = tf.concat([[0], tf.cumsum(lengths)], axis=0)  # in the concatenated texts
        starts, limits = _in_source(texts, ends[:-1], ends[1:])
        bases = tf.gather(_positions(texts), ids.value_rowids())
        return ids, ids.with_flat_values(starts - bases), ids.with_flat_values(limits - bases)

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Tokenizer.tokens`."""
        return tf.gather(self._entries, ids)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The concatenated bytes of ids `[batch, (tokens)]`: string `[batch]`.

        For the ids of a whole text they are the text. For other ids, such as a truncated text's,
        they may not be UTF-8, because a character may be cut. End-of-text has no bytes.
        """
        return tf.strings.reduce_join(tf.gather(self._bytes, ids), axis=-1)

    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """Writes `encoder.json` and `vocab.bpe`, like GPT-2's."""
        self._pairs.write(folder)

    @classmethod
    def _read(cls, folder: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
        return cls(read_byte_pairs(folder), config)

    def _whole_words(self) -> tf.lookup.StaticHashTable:
        """The texts that are one word and one token: text → id; -1 for all others.

        Word splitting and merging decide which texts these are, so the table changes no id of any
        vocabulary.
        """
        texts = tf.boolean_mask(self._bytes, is_utf8(self._bytes) & (self._lengths > 0))
        tokens = _encode_distinct(split_words(texts), self._merge)
        single = tokens.row_lengths() == 1
        ids = tf.gather(tokens.flat_values, tf.boolean_mask(tokens.row_starts(), single))
        pairs = tf.lookup.KeyValueTensorInitializer(tf.boolean_mask(texts, single), ids)
        return tf.lookup.StaticHashTable(pairs, default_value=-1)

    def _encode_chunks(self, chunks: tf.Tensor) -> tf.RaggedTensor:
        """Ids of chunks: string `[chunks]` → int32 `[chunks, (tokens)]`."""
        return self._looked_up_or(
            chunks, lambda others: _encode_distinct(split_words(others), self._encode_words)
        )

    def _encode_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Ids of words: string `[words]` → int32 `[words, (tokens)]`."""
        return self._looked_up_or(words, self._merge)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Like `_encode_words`, but without the table of whole words."""
        # Made in this graph, so that a kernel of the graph owns the model. The kernel that owns an
        # eagerly made model is dropped by TensorFlow at the next `tf.random.set_seed`.
        pieces = tf_text.SentencepieceTokenizer(self._model, out_type=tf.int32)
        codes = tf.strings.unicode_decode(words, "ISO-8859-1")  # one code per byte
        letters = codes.with_flat_values(tf.gather(self._letters, codes.flat_values))
        return pieces.tokenize(tf.strings.unicode_encode(letters, "UTF-8"))

    def _looked_up_or(self, texts: tf.Tensor, encode: _Encode) -> tf.RaggedTensor:
        """Ids of texts `[n]`: from the table, or from `encode` for texts that it lacks."""
        whole_ids = self._whole.lookup(texts)
        missing = whole_ids < 0
        encoded = encode(tf.boolean_mask(texts, missing))
        # Rows of one id for all texts, followed by the encoded rows; then each text takes its row.
        count = tf.size(texts, tf.int64)
        rows = tf.RaggedTensor.from_row_splits(
            tf.concat([whole_ids, encoded.flat_values], axis=0),
            tf.concat([tf.range(count), count + encoded.row_splits], axis=0),
            validate=False,
        )
        encoded_row = count + tf.cumsum(tf.cast(missing, tf.int64), exclusive=True)
        return tf.gather(rows, tf.where(missing, encoded_row, tf.range(count)))


def _encode_distinct(parts: tf.RaggedTensor, encode: _Encode) -> tf.RaggedTensor:
    """Concatenated ids of the parts of texts: string `[batch, (parts)]` → `[batch, (tokens)]`.

    Each distinct part is encoded only once.
    """
    distinct, indices = tf.unique(parts.flat_values, tf.int64)
    return join_rows(parts, tf.gather(encode(distinct), indices))


def _positions(texts: tf.Tensor) -> tf.Tensor:
    """Where each text begins in the concatenated texts, and their end: int64 `[batch + 1]`."""
    return tf.concat([[0], tf.cumsum(tf.cast(tf.strings.length(texts), tf.int64))], axis=0)


def _in_source(
    texts: tf.Tensor, starts: tf.Tensor, limits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps spans of bytes from the texts `with_valid_utf8` to the original texts, int64.

    All positions are in the concatenation of the texts.

    Args:
        texts: the original texts.
        starts: first byte of each span, int64 `[spans]`.
        limits: byte after each span, int64 `[spans]`; no span is empty.
    """

    def mapped() -> tuple[tf.Tensor, tf.Tensor]:
        codes, offsets = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
        positions = _positions(texts)
        begins = offsets.flat_values + tf.gather(positions, offsets.value_rowids())
        ends = tf.concat([begins[1:], positions[-1:]], axis=0)
        lengths = 1 + sum(
            tf.cast(codes.flat_values > bound, tf.int64) for bound in (0x7F, 0x7FF, 0xFFFF)
        )
        # False for a U+FFFD that replaced fewer bytes than its own three.
        unchanged = ends - begins == lengths
        before = tf.cumsum(lengths, exclusive=True)

        def source(position: tf.Tensor, replaced: tf.Tensor) -> tf.Tensor:
            character = tf.searchsorted(before, position, side="right", out_type=tf.int64) - 1
            exact = tf.gather(begins - before, character) + position
            return tf.where(tf.gather(unchanged, character), exact, tf.gather(replaced, character))

        return source(starts, begins), source(limits - 1, ends - 1) + 1

    return tf.cond(tf.reduce_all(is_utf8(texts)), lambda: (starts, limits), mapped)
