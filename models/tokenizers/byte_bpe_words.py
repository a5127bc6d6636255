r"""Text → words, in graph, as GPT-2 cuts them before BPE.

GPT-2's expression is, of alternatives the first that matches:

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Its look-ahead leaves the last character of white space to the word that follows. RE2, which runs in
the graph, has none. So texts are cut before each last character of white space first; inside of the
chunks the rest of the expression needs to look at nothing. Words never cross the chunks, which are
few distinct ones: what takes time is done for each of those once.
"""

from __future__ import annotations

import tensorflow as tf

from models.tokenizers.config import ByteBpeConfig

_TEXTS = tf.TensorSpec([None], tf.string)
_MARK = b"\xff"  # no byte of UTF-8
_VALID = r"[\x00-\x{D7FF}\x{E000}-\x{10FFFF}]*"  # RE2 matches UTF-8 only; "." takes more than that

# Classes as of Unicode 16, as in tiktoken. RE2's own are of Unicode 15 in TensorFlow 2.16 and 2.21
# and may be of another in a server: the 5,004 characters that came later are spelled out.
_SPACE = r"\t-\r\x{85}\p{Z}"  # White_Space; RE2's \s is ASCII's
_LETTER = (
    r"\p{L}\x{1C89}\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65}"
    r"\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{11380}-\x{11389}\x{1138B}\x{1138E}\x{11390}-\x{113B5}"
    r"\x{113B7}\x{113D1}\x{113D3}\x{11BC0}-\x{11BE0}\x{13460}-\x{143FA}\x{16100}-\x{1611D}"
    r"\x{16D40}-\x{16D6C}\x{18CFF}\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2EBF0}-\x{2EE5D}"
)
_NUMBER = (
    r"\p{N}\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{16130}-\x{16139}"
    r"\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1E5F1}-\x{1E5FA}"
)
_CUT = f"[{_SPACE}][^{_SPACE}]"
_WORD = (
    f"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+| ?[^{_SPACE}{_LETTER}{_NUMBER}]+"
    f"|[{_SPACE}]+"
)


def valid(texts: tf.Tensor) -> tf.Tensor:
    """Which texts are UTF-8, bool in the shape of `texts`."""
    return tf.strings.regex_full_match(texts, _VALID)


def repaired(texts: tf.Tensor) -> tf.Tensor:
    """Texts with U+FFFD for what is not UTF-8, string `[batch]`."""
    return tf.cond(
        tf.reduce_all(valid(texts)),  # several times as fast as to copy all characters
        lambda: texts,
        lambda: tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8"),
    )


def cut_chunks(texts: tf.Tensor) -> tf.RaggedTensor:
    """Chunks of texts that are UTF-8: string `[batch]` → string `[batch, (chunks)]`.

    Inside of a chunk white space is one character at its beginning, or all that is at its end.
    """
    return _cut_before(texts, _CUT)


def cut_words(chunks: tf.Tensor) -> tf.RaggedTensor:
    """Words of chunks: string `[chunks]` → string `[chunks, (words)]`."""
    return _cut_before(chunks, _WORD)


def _cut_before(texts: tf.Tensor, pattern: str) -> tf.RaggedTensor:
    """Texts cut before each match; no part is empty."""
    # With nothing captured RE2 keeps to its automaton: five times as fast as tf_text.regex_split.
    marked = tf.strings.regex_replace(texts, pattern, _MARK + rb"\0")
    parts = tf.strings.split(marked, _MARK)
    present = parts.flat_values != ""
    before = tf.concat([[0], tf.cumsum(tf.cast(present, tf.int64))], axis=0)
    return tf.RaggedTensor.from_row_splits(
        tf.boolean_mask(parts.flat_values, present),
        tf.gather(before, parts.row_splits),
        validate=False,
    )


def merged_rows(outer: tf.RaggedTensor, inner: tf.RaggedTensor) -> tf.RaggedTensor:
    """Rows of `inner`, one for each value of `outer`, joined to the rows of `outer`."""
    splits = tf.gather(inner.row_splits, outer.row_splits)
    return tf.RaggedTensor.from_row_splits(inner.flat_values, splits, validate=False)


class ByteBpeWordSplitter(tf.Module):
    """Cuts texts into the words that `ByteBpeTokenizer` merges the bytes of.

    Nothing is normalized: the words of a text, joined, are the text.

    Args:
        config: the tokenizer's configuration.
    """

    def __init__(self, config: ByteBpeConfig) -> None:
        super().__init__()
        del config  # there is one way to cut

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Words of texts: string `[batch]` → string `[batch, (words)]`."""
        chunks = cut_chunks(repaired(texts))
        return merged_rows(chunks, cut_words(chunks.flat_values))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Distinct words of a batch of texts `[batch]`, string `[words]`, and int64 counts."""
        chunks = cut_chunks(repaired(texts)).flat_values
        distinct_chunks, _, repeats = tf.unique_with_counts(chunks, tf.int64)
        words = cut_words(distinct_chunks)
        distinct, places = tf.unique(words.flat_values)
        counts = tf.gather(repeats, words.value_rowids())
        return distinct, tf.math.unsorted_segment_sum(counts, places, tf.size(distinct))
