"""Text → words, in graph: the normalization and the cutting that come before WordPiece.

Counting words for a vocabulary and tokenizing with it run the same operations (law 4).
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.config import WordPieceConfig

_TEXTS = tf.TensorSpec([None], tf.string)
_UNKNOWN = "[UNK]"
_CONTROL = r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\p{Cf}\x{FFFD}]+"
"""Control characters that are no white space, and what stands for bytes that are no UTF-8."""
_PLAIN = r"[\t\n\r\x20-\x7e]*"
_NO_WORD = "\x01"  # a trie cannot be empty; no text keeps this character


class Normalizer(tf.Module):
    """BERT's normalization, after Unicode's normalization form C.

    As google-research/bert: control characters, if they are no white space, and U+FFFD go; uncased,
    canonical decomposition, lower case and accents stripped; white space becomes spaces.
    tensorflow-text's own normalization serves for the last only: it folds compatibility characters,
    and with them the Chinese "，" into ",", and makes spaces of invisible characters. Because of
    form C, two spellings of one text are one text.

    Args:
        lowercase: fold case and strip accents.
    """

    def __init__(self, lowercase: bool) -> None:
        super().__init__()
        self._lowercase = lowercase
        self._spaces = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=False)

    def normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalized texts, string `[batch]`."""
        # Most texts hold nothing that folding changes but capitals, and it takes most of the time.
        others = tf.where(~tf.strings.regex_full_match(texts, _PLAIN))
        folded = self._fold(tf_text.normalize_utf8(tf.gather_nd(texts, others), "NFC"))
        plain = tf.strings.lower(texts) if self._lowercase else texts
        return self._spaces.normalize(tf.tensor_scatter_nd_update(plain, others, folded))

    def normalize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.Tensor, SourceOffsets]:
        """Normalized texts, string `[batch]`, and the way back to the given ones."""
        # A text more: the operation that finds the way back ends the process on an empty batch.
        more = tf.concat([texts, [""]], axis=0)
        composed, edits = tf_text.normalize_utf8_with_offsets_map(more, "NFC")
        places = tf.ragged.range(tf.cast(tf.strings.length(composed), tf.int64) + 1)
        sources = tf_text.find_source_offsets(edits, places)[:-1]
        composed = composed[:-1]
        normalized, offsets = self._spaces.normalize_with_offsets(self._fold(composed))
        folded = self._fold_offsets(composed)
        return normalized, SourceOffsets(
            sources, offsets.with_flat_values(_look_up(folded, offsets))
        )

    def _fold(self, texts: tf.Tensor) -> tf.Tensor:
        """Folded texts, string in the shape of `texts`."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")  # bad bytes become U+FFFD
        texts = tf.strings.regex_replace(texts, _CONTROL, "")  # with NUL, where `lower` would end
        if not self._lowercase:
            return texts
        lower = tf.strings.lower(tf_text.normalize_utf8(texts, "NFD"), "utf-8")
        return tf.strings.regex_replace(lower, r"\p{Mn}+", "")

    def _fold_offsets(self, composed: tf.Tensor) -> tf.RaggedTensor:
        """Where each byte of folded texts, and their end, came from: int64 `[batch, (bytes + 1)]`.

        Folding takes one character at a time, but for marks that change places and the Greek sigma,
        whose two small forms are of one length.
        """
        characters = tf.strings.unicode_split(composed, "UTF-8")
        codes, places = tf.strings.unicode_decode_with_offsets(composed, "UTF-8")
        # A noncharacter (U+FDD0, U+FFFE, …) stays as it is, but `unicode_split` makes U+FFFD of it.
        code = codes.flat_values
        kept = (code >= 0xFDD0) & (code <= 0xFDEF) | (
            tf.bitwise.bitwise_and(code, 0xFFFE) == 0xFFFE
        )
        size = tf.where(code > 0xFFFF, 4, 3)
        lengths = tf.where(kept, size, tf.strings.length(self._fold(characters.flat_values)))
        folded = tf.RaggedTensor.from_value_rowids(
            tf.repeat(places.flat_values, lengths),
            tf.repeat(places.value_rowids(), lengths),
            places.nrows(),
        )
        ends = tf.cast(tf.strings.length(composed), tf.int64)[:, tf.newaxis]
        return tf.concat([folded, ends], axis=1)


class SourceOffsets:
    """Maps spans of bytes in normalized texts back to the texts they came from.

    Both arguments are int64, in bytes, and do not decrease along a row.

    Args:
        sources: `[batch, (bytes + 1)]`, where each byte of the text in form C, and its end, came
            from. Inside of a stretch that form C changed it is the stretch's end.
        offsets: `[batch, (bytes + 1)]`, where each byte of the normalized text, and its end, came
            from in the text in form C.
    """

    def __init__(self, sources: tf.RaggedTensor, offsets: tf.RaggedTensor) -> None:
        self._sources = sources
        self._offsets = offsets

    def spans(
        self, starts: tf.RaggedTensor, limits: tf.RaggedTensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Where the characters of `[starts, limits)` begin and end in the source, int64.

        A character that became several ("½", "1⁄2") begins and ends for all of them where it does
        itself, and so does a stretch that form C changed.

        Args:
            starts: `[batch, (tokens)]`.
            limits: likewise; no span is empty.
        """
        first = starts.with_flat_values(_look_up(self._offsets, starts))
        last = limits.with_flat_values(_look_up(self._offsets, limits - 1))
        after = limits.with_flat_values(_neighbour(self._offsets, last, side="right"))
        begin = starts.with_flat_values(_look_up(self._sources, first))
        below = _neighbour(self._sources, begin, side="left")
        inside = begin.flat_values == _look_up(self._sources, first + 1)
        end = limits.with_flat_values(_look_up(self._sources, after))
        return begin.with_flat_values(tf.where(inside, below, begin.flat_values)), end


# The two below are tf.gather and tf.searchsorted row by row. On flat values they are a handful of
# operations; the ragged ones trace to thousands, which every export and every server would pay for.


def _look_up(rows: tf.RaggedTensor, places: tf.RaggedTensor) -> tf.Tensor:
    """The values of `rows` at `places` in the same row, int64 `[places]`."""
    starts = tf.gather(rows.row_starts(), places.value_rowids())
    return tf.gather(rows.flat_values, starts + places.flat_values)


def _neighbour(rows: tf.RaggedTensor, wanted: tf.RaggedTensor, side: str) -> tf.Tensor:
    """For each wanted value its row's least value above it ("right"), or the greatest below it.

    Where there is none below, the value is of no use.

    Args:
        rows: no row is empty or decreases.

    Returns:
        int64 `[values]`, in the order of `wanted`'s flat values.
    """
    # One non-decreasing sequence over the batch, so that one binary search serves all rows.
    ends = tf.gather(rows.flat_values, rows.row_limits() - 1)
    bases = tf.cumsum(ends + 1, exclusive=True)
    ordered = rows.flat_values + tf.gather(bases, rows.value_rowids())
    values = wanted.flat_values + tf.gather(bases, wanted.value_rowids())
    found = tf.searchsorted(ordered, values, side=side, out_type=tf.int64)
    return tf.gather(rows.flat_values, found if side == "right" else tf.maximum(found - 1, 0))


class WordSplitter(tf.Module):
    """Cuts texts into the words that `WordPieceTokenizer` looks up.

    The cutting is `FastWordpieceTokenizer`'s own: with a vocabulary that knows nothing, every word
    is one unknown token, and its offsets are the word's.

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
        """Words of texts, normalized: string `[batch]` → string `[batch, (words)]`."""
        words, _, _ = self._cut(self._normalizer.normalize(texts))
        return words

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def words_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Words as `words`, with each one's first byte and the byte after its last in the text.

        Returns:
            Three `[batch, (words)]`: words string, starts int64, limits int64.
        """
        normalized, source = self._normalizer.normalize_with_offsets(texts)
        words, starts, limits = self._cut(normalized)
        return words, *source.spans(starts, limits)

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct words of a batch of texts `[batch]`, string `[words]`, and int64 counts."""
        # White space always parts words, and most runs between it repeat: cut each only once.
        runs, _, repeats = tf.unique_with_counts(tf.strings.split(texts).flat_values, tf.int64)
        words = self.words(runs)
        distinct, places = tf.unique(words.flat_values)
        counts = tf.gather(repeats, words.value_rowids())
        return distinct, tf.math.unsorted_segment_sum(counts, places, tf.size(distinct))

    def _cut(
        self, normalized: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Words of normalized texts, with their first byte and the byte after their last."""
        _, starts, limits = self._cutter.tokenize_with_offsets(normalized)
        codes, code_starts = tf.strings.unicode_decode_with_offsets(normalized, "UTF-8")
        # Cutting out of code points and not with substr, which would copy a text for every word.
        bases = tf.cumsum(tf.cast(tf.strings.length(normalized), tf.int64), exclusive=True)

        def positions(offsets: tf.RaggedTensor) -> tf.Tensor:
            return offsets.flat_values + tf.gather(bases, offsets.value_rowids())

        places = positions(code_starts)
        first = tf.searchsorted(places, positions(starts), out_type=tf.int64)
        after = tf.searchsorted(places, positions(limits), out_type=tf.int64)
        letters = tf.gather(codes.flat_values, tf.ragged.range(first, after))
        words = tf.strings.unicode_encode(letters, "UTF-8")
        return starts.with_flat_values(words), starts, limits
