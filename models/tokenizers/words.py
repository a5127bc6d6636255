"""Text → words, in graph: the normalization and the cutting that come before WordPiece.

Counting words for a vocabulary and tokenizing with it run the same operations (law 4).
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.config import WordPieceConfig

_TEXTS = tf.TensorSpec([None], tf.string)
_UNKNOWN = "[UNK]"
_NO_WORD = "\x01"  # a trie cannot be empty; normalization leaves no control character in texts


def nfc(texts: tf.Tensor) -> tf.Tensor:
    """Texts in Unicode's normalization form C, by the tables that the tokenizers use.

    Python's `unicodedata` knows characters that tensorflow-text's ICU does not, and orders their
    combining marks differently.

    Args:
        texts: string, any shape, UTF-8.

    Returns:
        string, the same shape.
    """
    return tf_text.normalize_utf8(texts, "NFC")


class Normalizer(tf.Module):
    """BERT's normalization by tensorflow-text's `FastBertNormalizer`, after NFC.

    Control characters become spaces; uncased, compatibility characters are folded, letters
    lower-cased and accents stripped. Because of NFC, two spellings of one text are one text.

    Args:
        lowercase: fold case and strip accents.
    """

    def __init__(self, lowercase: bool) -> None:
        super().__init__()
        self._normalizer = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=lowercase)

    def normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalized texts, string `[batch]`."""
        return self._normalizer.normalize(nfc(texts))

    def normalize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.Tensor, SourceOffsets]:
        """Normalized texts, string `[batch]`, and the way back to the given ones."""
        # A text more, for `SourceOffsets`: its operation cannot take an empty batch.
        texts = tf.concat([texts, [""]], axis=0)
        composed, edits = tf_text.normalize_utf8_with_offsets_map(texts, "NFC")
        normalized, offsets = self._normalizer.normalize_with_offsets(composed[:-1])
        return normalized, SourceOffsets(edits, offsets)


class SourceOffsets:
    """Maps byte offsets in normalized texts back to the texts they came from.

    Args:
        edits: what NFC changed, variant `[batch + 1]`, the last of an empty text.
        offsets: int64 `[batch, (bytes + 1)]`: where each byte of the normalized text, and its end,
            came from in the NFC text.
    """

    def __init__(self, edits: tf.Tensor, offsets: tf.RaggedTensor) -> None:
        self._edits = edits
        self._offsets = offsets

    def starts(self, starts: tf.RaggedTensor) -> tf.RaggedTensor:
        """Where the characters at `starts` `[batch, (tokens)]` begin in the source, int64."""
        return self._source(tf.gather(self._offsets, starts, batch_dims=1))

    def limits(self, limits: tf.RaggedTensor) -> tf.RaggedTensor:
        """Where the characters before `limits` `[batch, (tokens)]` end in the source, int64.

        A character that became several ("½", "1⁄2") ends for all of them where it ends itself.
        """
        last = tf.gather(self._offsets, limits - 1, batch_dims=1)
        # One non-decreasing sequence over the batch, so that one binary search serves all rows.
        sizes = self._offsets[:, -1:].flat_values + 1
        bases = tf.cumsum(sizes, exclusive=True)
        ends = self._offsets.flat_values + tf.gather(bases, self._offsets.value_rowids())
        wanted = last.flat_values + tf.gather(bases, last.value_rowids())
        found = tf.searchsorted(ends, wanted, side="right", out_type=tf.int64)
        return self._source(last.with_flat_values(tf.gather(self._offsets.flat_values, found)))

    def _source(self, composed: tf.RaggedTensor) -> tf.RaggedTensor:
        """Offsets in the source of offsets in the NFC text, `[batch, (tokens)]`."""
        # tensorflow-text's operation fails if the last rows are empty, and ends the process if there
        # is no row: so here is a row more, and an offset more in every row.
        rows = tf.concat([composed, tf.RaggedTensor.from_tensor(tf.zeros([1, 0], tf.int64))], axis=0)
        padded = tf.concat([rows, tf.zeros([rows.nrows(), 1], tf.int64)], axis=1)
        return tf_text.find_source_offsets(self._edits, padded)[:-1, :-1]


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
        normalized = self._normalizer.normalize(texts)
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
        return starts.with_flat_values(tf.strings.unicode_encode(letters, "UTF-8"))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct words of a batch of texts `[batch]`, string `[words]`, and int64 counts."""
        # White space always parts words, and most runs between it repeat: cut each only once.
        runs, _, repeats = tf.unique_with_counts(tf.strings.split(texts).flat_values, tf.int64)
        words = self.words(runs)
        distinct, places = tf.unique(words.flat_values)
        counts = tf.gather(repeats, words.value_rowids())
        return distinct, tf.math.unsorted_segment_sum(counts, places, tf.size(distinct))
