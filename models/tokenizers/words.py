"""Splits text into words in graph: the normalization and word splitting before WordPiece.

Counting words for a vocabulary and tokenizing with it run the same operations (law "One tokenizer
path").
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.config import WordPieceConfig

_TEXTS = tf.TensorSpec([None], tf.string)
_UNKNOWN = "[UNK]"
_CONTROL = r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\p{Cf}\x{FFFD}]+"
"""Control characters other than white space, and U+FFFD, which replaces invalid UTF-8."""
_PLAIN = r"[\t\n\r\x20-\x7e]*"
_NO_WORD = "\x01"  # a trie cannot be empty; normalization removes this character from texts


class Normalizer(tf.Module):
    """BERT's normalization, after Unicode's normalization form C.

    Like google-research/bert, it removes U+FFFD and control characters other than white space; if
    `lowercase`, it decomposes canonically, lower-cases and strips accents; it turns white space
    into spaces. tensorflow-text's own normalization is used only for the last, because it folds
    compatibility characters, such as the Chinese "，" into ",", and turns invisible characters into
    spaces. Form C makes two encodings of the same text equal.

    Args:
        lowercase: whether to fold case and strip accents.
    """

    def __init__(self, lowercase: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._spaces = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=False)

    def normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalized texts, string `[batch]`."""
        # Folding takes most of the time, and in most texts it changes only capitals.
        others = tf.where(~tf.strings.regex_full_match(texts, _PLAIN))
        folded = self._fold(tf_text.normalize_utf8(tf.gather_nd(texts, others), "NFC"))
        plain = tf.strings.lower(texts) if self._lowercase else texts
        return self._spaces.normalize(tf.tensor_scatter_nd_update(plain, others, folded))

    def normalize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.Tensor, SourceOffsets]:
        """Normalized texts, string `[batch]`, and the map to offsets in the original texts."""
        # One more text, because `find_source_offsets` aborts the process on an empty batch.
        padded = tf.concat([texts, [""]], axis=0)
        composed, edits = tf_text.normalize_utf8_with_offsets_map(padded, "NFC")
        positions = tf.ragged.range(tf.cast(tf.strings.length(composed), tf.int64) + 1)
        sources = tf_text.find_source_offsets(edits, positions)[:-1]
        composed = composed[:-1]
        normalized, offsets = self._spaces.normalize_with_offsets(self._fold(composed))
        folded = self._fold_offsets(composed)
        return normalized, SourceOffsets(
            sources, offsets.with_flat_values(_look_up(folded, offsets))
        )

    def _fold(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts without control characters and, if `lowercase`, folded; in the shape of `texts`."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")  # invalid bytes become U+FFFD
        texts = tf.strings.regex_replace(texts, _CONTROL, "")  # with NUL, at which `lower` stops
        if not self._lowercase:
            return texts
        lower = tf.strings.lower(tf_text.normalize_utf8(texts, "NFD"), "utf-8")
        return tf.strings.regex_replace(lower, r"\p{Mn}+", "")

    def _fold_offsets(self, composed: tf.Tensor) -> tf.RaggedTensor:
        """The source of each byte of folded texts, and of their end: int64 `[batch, (bytes + 1)]`.

        Folding works on single characters. The exceptions do not matter here: combining marks that
        change places, and the Greek sigma, whose two small forms have the same length.
        """
        characters = tf.strings.unicode_split(composed, "UTF-8")
        codes, positions = tf.strings.unicode_decode_with_offsets(composed, "UTF-8")
        # Folding keeps noncharacters (U+FDD0, U+FFFE, …), but `unicode_split` replaces them.
        code = codes.flat_values
        kept = (code >= 0xFDD0) & (code <= 0xFDEF) | (
            tf.bitwise.bitwise_and(code, 0xFFFE) == 0xFFFE
        )
        size = tf.where(code > 0xFFFF, 4, 3)
        lengths = tf.where(kept, size, tf.strings.length(self._fold(characters.flat_values)))
        folded = tf.RaggedTensor.from_value_rowids(
            tf.repeat(positions.flat_values, lengths),
            tf.repeat(positions.value_rowids(), lengths),
            positions.nrows(),
        )
        ends = tf.cast(tf.strings.length(composed), tf.int64)[:, tf.newaxis]
        return tf.concat([folded, ends], axis=1)


class SourceOffsets:
    """Maps spans of bytes in normalized texts to spans in the original texts.

    Both arguments are int64, in bytes, and do not decrease along a row.

    Args:
        sources: `[batch, (bytes + 1)]`: for each byte of the text in form C, and for its end, the
            byte of the original text. Inside a range that form C changed, it is the range's end.
        offsets: `[batch, (bytes + 1)]`: for each byte of the normalized text, and for its end, the
            byte of the text in form C.
    """

    def __init__(self, sources: tf.RaggedTensor, offsets: tf.RaggedTensor) -> None:
        self._sources = sources
        self._offsets = offsets

    def spans(
        self, starts: tf.RaggedTensor, limits: tf.RaggedTensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Where the characters of `[starts, limits)` begin and end in the original text, int64.

        If one character became several ("½", "1⁄2"), all of them begin and end where it does. The
        same is true of a range that form C changed.

        Args:
            starts: first byte of each span, `[batch, (tokens)]`.
            limits: byte after each span, `[batch, (tokens)]`; no span is empty.
        """
        first = starts.with_flat_values(_look_up(self._offsets, starts))
        last = limits.with_flat_values(_look_up(self._offsets, limits - 1))
        after = limits.with_flat_values(_neighbor(self._offsets, last, side="right"))
        begin = starts.with_flat_values(_look_up(self._sources, first))
        below = _neighbor(self._sources, begin, side="left")
        inside = begin.flat_values == _look_up(self._sources, first + 1)
        end = limits.with_flat_values(_look_up(self._sources, after))
        return begin.with_flat_values(tf.where(inside, below, begin.flat_values)), end


# The next two functions are tf.gather and tf.searchsorted row by row. On flat values they need few
# operations. The ragged versions trace to thousands, which would slow each export and server.


def _look_up(rows: tf.RaggedTensor, positions: tf.RaggedTensor) -> tf.Tensor:
    """The values of `rows` at `positions` in the same row, int64 `[positions]`."""
    starts = tf.gather(rows.row_starts(), positions.value_rowids())
    return tf.gather(rows.flat_values, starts + positions.flat_values)


def _neighbor(rows: tf.RaggedTensor, queries: tf.RaggedTensor, side: str) -> tf.Tensor:
    """For each query, the nearest different value of its row.

    Args:
        rows: no row is empty or decreases.
        queries: values to compare with, row by row.
        side: "right" for the smallest value above the query, "left" for the greatest value below
            it. If there is none below, the result is undefined.

    Returns:
        int64 `[values]`, in the order of the flat values of `queries`.
    """
    # One non-decreasing sequence over the batch, so that one binary search finds all values.
    ends = tf.gather(rows.flat_values, rows.row_limits() - 1)
    bases = tf.cumsum(ends + 1, exclusive=True)
    ordered = rows.flat_values + tf.gather(bases, rows.value_rowids())
    values = queries.flat_values + tf.gather(bases, queries.value_rowids())
    index = tf.searchsorted(ordered, values, side=side, out_type=tf.int64)
    return tf.gather(rows.flat_values, index if side == "right" else tf.maximum(index - 1, 0))


class WordSplitter(tf.Module):
    """Splits texts into the words that `WordPieceTokenizer` looks up.

    `FastWordpieceTokenizer` does the splitting: with an empty vocabulary, every word is one unknown
    token, which has the offsets of the word.

    Args:
        config: the tokenizer's configuration.
    """

    def __init__(self, config: WordPieceConfig) -> None:
        super().__init__()
        self._normalizer = Normalizer(config.lowercase)
        self._cutter = tf_text.FastWordpieceTokenizer(
            vocab=[_UNKNOWN, _NO_WORD], unknown_token=_UNKNOWN, token_out_type=tf.int32
        )

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The normalized words of texts: string `[batch]` → string `[batch, (words)]`."""
        words, _, _ = self._cut(self._normalizer.normalize(texts))
        return words

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def words_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """The words that `words` returns, with the first byte of each word and the byte after it.

        Returns:
            Three `[batch, (words)]`: words string, starts int64, limits int64.
        """
        normalized, source = self._normalizer.normalize_with_offsets(texts)
        words, starts, limits = self._cut(normalized)
        return words, *source.spans(starts, limits)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The distinct words of texts `[batch]`, string `[words]`, and their counts, int64."""
        # White space always separates words, and most strings between it repeat: split each once.
        runs, _, repeats = tf.unique_with_counts(tf.strings.split(texts).flat_values, tf.int64)
        words = self.words(runs)
        distinct, indices = tf.unique(words.flat_values)
        counts = tf.gather(repeats, words.value_rowids())
        return distinct, tf.math.unsorted_segment_sum(counts, indices, tf.size(distinct))

    def _cut(
        self, normalized: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """The words of normalized texts, with the first byte of each word and the byte after it."""
        _, starts, limits = self._cutter.tokenize_with_offsets(normalized)
        codes, code_starts = tf.strings.unicode_decode_with_offsets(normalized, "UTF-8")
        # From code points, because substr would copy the whole text for every word.
        bases = tf.cumsum(tf.cast(tf.strings.length(normalized), tf.int64), exclusive=True)

        def in_batch(offsets: tf.RaggedTensor) -> tf.Tensor:
            """Offsets in the concatenation of all texts."""
            return offsets.flat_values + tf.gather(bases, offsets.value_rowids())

        positions = in_batch(code_starts)
        first = tf.searchsorted(positions, in_batch(starts), out_type=tf.int64)
        after = tf.searchsorted(positions, in_batch(limits), out_type=tf.int64)
        letters = tf.gather(codes.flat_values, tf.ragged.range(first, after))
        words = tf.strings.unicode_encode(letters, "UTF-8")
        return starts.with_flat_values(words), starts, limits
