"""Byte-level BPE as in GPT-2 (Radford et al., 2019, section 2.2), in graph.

Words, cut out by the rules of `byte_bpe_words`, are taken for their UTF-8 bytes; neighbours merge,
those first whose concatenation has the lowest rank, of equals the leftmost, until none can.
tensorflow-text's SentencePiece does the merging. A table of the words that are entries by
themselves spares it most of the work.
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
from models.tokenizers.byte_bpe_words import (
    ByteBpeWordSplitter,
    cut_chunks,
    cut_words,
    merged_rows,
    repaired,
    valid,
)
from models.tokenizers.config import ByteBpeConfig
from models.tokenizers.sentencepiece_model import bpe_model
from models.tokenizers.tokenizer import Tokenizer, WordSplitter

_Encode = Callable[[tf.Tensor], tf.RaggedTensor]
"""String `[n]` → int32 `[n, (tokens)]`."""


_TEXTS = tf.TensorSpec([None], tf.string, "texts")


class ByteBpeTokenizer(Tokenizer):
    """Text → GPT-2's ids in graph, and back without a loss.

    Any bytes are a text: what is not UTF-8 is taken for U+FFFD. Trackable: a `tf.Module` that holds
    it can be saved and served.

    Args:
        pairs: entries and merges, with all bytes and end-of-text.
        config: `vocabulary_size` is not looked at.
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
        """The entries in the order of their ids, bytes as printable characters (`Ġthe`)."""
        return self._pairs.entries

    @functools.cached_property
    def token_bytes(self) -> Sequence[bytes]:
        """The bytes of each entry in the order of their ids; end-of-text has none."""
        return self._pairs.token_bytes()

    @functools.cached_property
    def special_ids(self) -> Mapping[str, int]:  # type: ignore[override]  # cached, still read-only
        """The id of `end_of_text`. GPT-2 has no padding, and to bytes nothing is unknown."""
        return {"end_of_text": self.vocabulary.index(END_OF_TEXT)}

    @classmethod
    def learn(cls, word_counts: Mapping[str, int], config: ByteBpeConfig) -> ByteBpeTokenizer:
        """See `models.tokenizers.byte_bpe_vocabulary.learn`."""
        from models.tokenizers.byte_bpe_vocabulary import learn

        return learn(word_counts, config)

    @classmethod
    def import_vocabulary(cls, path: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
        """See `models.tokenizers.byte_bpe_vocabulary.import_vocabulary`."""
        from models.tokenizers.byte_bpe_vocabulary import import_vocabulary

        return import_vocabulary(path, config)

    @classmethod
    def word_splitter(cls, config: ByteBpeConfig) -> WordSplitter:
        """Cuts texts into words as every tokenizer of this configuration does."""
        return ByteBpeWordSplitter(config)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """See `Tokenizer.tokenize`."""
        return _distinct(cut_chunks(repaired(texts)), self._encode_chunks)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """See `Tokenizer.tokenize_with_offsets`.

        The tokens of a text cover it without a gap. A token may begin or end inside of a character.
        Those of a U+FFFD that stands for fewer bytes, as they are not UTF-8, share their offsets.
        """
        ids = self.tokenize(texts)
        lengths = tf.gather(self._lengths, ids.flat_values)
        ends = tf.concat([[0], tf.cumsum(lengths)], axis=0)  # in the batch's texts, joined
        starts, limits = _in_source(texts, ends[:-1], ends[1:])
        bases = tf.gather(_positions(texts), ids.value_rowids())
        return ids, ids.with_flat_values(starts - bases), ids.with_flat_values(limits - bases)

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """See `Tokenizer.tokens`."""
        return tf.gather(self._entries, ids)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The bytes of ids `[batch, (tokens)]`, joined: string `[batch]`.

        Of a text's ids they are the text. Of others, such as a text's that were cut off, they may
        not be UTF-8: what is cut inside of a character stays so. End-of-text has no bytes.
        """
        return tf.strings.reduce_join(tf.gather(self._bytes, ids), axis=-1)

    def _write_vocabulary(self, folder: pathlib.Path) -> None:
        """`encoder.json` and `vocab.bpe`, as GPT-2's are."""
        self._pairs.write(folder)

    @classmethod
    def _read(cls, folder: pathlib.Path, config: ByteBpeConfig) -> ByteBpeTokenizer:
        return cls(read_byte_pairs(folder), config)

    def _whole_words(self) -> tf.lookup.StaticHashTable:
        """The texts that are one word and one token: text → id, others -1.

        Which ones these are is asked of the cutting and merging, so that the table changes no id,
        whatever the vocabulary.
        """
        texts = tf.boolean_mask(self._bytes, valid(self._bytes) & (self._lengths > 0))
        found = _distinct(cut_words(texts), self._merge)
        alone = found.row_lengths() == 1
        ids = tf.gather(found.flat_values, tf.boolean_mask(found.row_starts(), alone))
        pairs = tf.lookup.KeyValueTensorInitializer(tf.boolean_mask(texts, alone), ids)
        return tf.lookup.StaticHashTable(pairs, default_value=-1)

    def _encode_chunks(self, chunks: tf.Tensor) -> tf.RaggedTensor:
        """Ids of chunks: string `[chunks]` → int32 `[chunks, (tokens)]`."""
        return self._whole_or(
            chunks, lambda others: _distinct(cut_words(others), self._encode_words)
        )

    def _encode_words(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Ids of words: string `[words]` → int32 `[words, (tokens)]`."""
        return self._whole_or(words, self._merge)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        """As `_encode_words`, all of them by merging."""
        # Made in this graph, one of whose kernels then owns the model. One that is made eagerly is
        # owned by a kernel that TensorFlow drops with the next `tf.random.set_seed`.
        pieces = tf_text.SentencepieceTokenizer(self._model, out_type=tf.int32)
        codes = tf.strings.unicode_decode(words, "ISO-8859-1")  # which are the bytes
        letters = codes.with_flat_values(tf.gather(self._letters, codes.flat_values))
        return pieces.tokenize(tf.strings.unicode_encode(letters, "UTF-8"))

    def _whole_or(self, texts: tf.Tensor, encode: _Encode) -> tf.RaggedTensor:
        """Ids of texts `[n]`: the table's, or where it has none, those that `encode` gives."""
        whole = self._whole.lookup(texts)
        others = whole < 0
        rest = encode(tf.boolean_mask(texts, others))
        # A row for each text with its one id, the rest's rows after them, then a row for each text.
        count = tf.size(texts, tf.int64)
        rows = tf.RaggedTensor.from_row_splits(
            tf.concat([whole, rest.flat_values], axis=0),
            tf.concat([tf.range(count), count + rest.row_splits], axis=0),
            validate=False,
        )
        after = count + tf.cumsum(tf.cast(others, tf.int64), exclusive=True)
        return tf.gather(rows, tf.where(others, after, tf.range(count)))


def _distinct(parts: tf.RaggedTensor, encode: _Encode) -> tf.RaggedTensor:
    """Ids of the parts of texts, joined: string `[batch, (parts)]` → `[batch, (tokens)]`.

    `encode` sees each part once, however often it occurs.
    """
    distinct, places = tf.unique(parts.flat_values, tf.int64)
    return merged_rows(parts, tf.gather(encode(distinct), places))


def _positions(texts: tf.Tensor) -> tf.Tensor:
    """Where each of the texts begins in the joined ones, and their end: int64 `[batch + 1]`."""
    return tf.concat([[0], tf.cumsum(tf.cast(tf.strings.length(texts), tf.int64))], axis=0)


def _in_source(
    texts: tf.Tensor, starts: tf.Tensor, limits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where spans of bytes in the joined `repaired` texts are in the joined texts as given, int64.

    Args:
        starts: `[spans]`, int64.
        limits: likewise; no span is empty.
    """

    def moved() -> tuple[tf.Tensor, tf.Tensor]:
        codes, places = tf.strings.unicode_decode_with_offsets(texts, "UTF-8")
        positions = _positions(texts)
        begins = places.flat_values + tf.gather(positions, places.value_rowids())
        ends = tf.concat([begins[1:], positions[-1:]], axis=0)
        lengths = 1 + sum(
            tf.cast(codes.flat_values > most, tf.int64) for most in (0x7F, 0x7FF, 0xFFFF)
        )
        # All but U+FFFD for fewer bytes have each byte where it was.
        same = ends - begins == lengths
        before = tf.cumsum(lengths, exclusive=True)

        def source(place: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
            character = tf.searchsorted(before, place, side="right", out_type=tf.int64) - 1
            inside = tf.gather(begins - before, character) + place
            return tf.where(tf.gather(same, character), inside, tf.gather(otherwise, character))

        return source(starts, begins), source(limits - 1, ends - 1) + 1

    return tf.cond(tf.reduce_all(valid(texts)), lambda: (starts, limits), moved)
