r"""Splits text into words in graph, as GPT-2 does before BPE.

GPT-2 uses this expression, of whose alternatives the first match counts:

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Its look-ahead leaves the last character of white space to the next word. RE2, which runs in graph,
has no look-ahead. So texts are first split into chunks before each last character of white space.
Inside a chunk the rest of the expression needs no look-ahead, and words never cross chunks. Most
chunks repeat, so the expensive operations run only once for each distinct chunk.
"""

from __future__ import annotations

import tensorflow as tf

from models.tokenizers.config import ByteBpeConfig

_TEXTS = tf.TensorSpec([None], tf.string)
_MARK = b"\xff"  # occurs in no UTF-8 text
_VALID = r"[\x00-\x{D7FF}\x{E000}-\x{10FFFF}]*"  # RE2 matches only UTF-8; "." matches more

# Classes of Unicode 16, as in tiktoken. RE2's classes are of Unicode 15 in TensorFlow 2.16 and
# 2.21, and a server may have another version. So the 5,004 new characters are listed here.
_SPACE = r"\t-\r\x{85}\p{Z}"  # White_Space; RE2's \s matches only ASCII
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
_CHUNK = f"[{_SPACE}][^{_SPACE}]"
_WORD = (
    f"'s|'t|'re|'ve|'m|'ll|'d| ?[{_LETTER}]+| ?[{_NUMBER}]+| ?[^{_SPACE}{_LETTER}{_NUMBER}]+"
    f"|[{_SPACE}]+"
)


def is_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Which texts are valid UTF-8, bool in the shape of `texts`."""
    return tf.strings.regex_full_match(texts, _VALID)


def with_valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Texts with invalid UTF-8 replaced by U+FFFD, string `[batch]`."""
    return tf.cond(
        tf.reduce_all(is_utf8(texts)),  # several times faster than copying all characters
        lambda: texts,
        lambda: tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8"),
    )


def split_chunks(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts of valid UTF-8 into chunks: string `[batch]` → string `[batch, (chunks)]`.

    A chunk has white space only as its first character and at its end.
    """
    return _split_before(texts, _CHUNK)


def split_words(chunks: tf.Tensor) -> tf.RaggedTensor:
    """Splits chunks into words: string `[chunks]` → string `[chunks, (words)]`."""
    return _split_before(chunks, _WORD)


def _split_before(texts: tf.Tensor, pattern: str) -> tf.RaggedTensor:
    """Splits texts before each match; no part is empty."""
    # Without capture groups RE2 uses its automaton, five times faster than tf_text.regex_split.
    marked = tf.strings.regex_replace(texts, pattern, _MARK + rb"\0")
    parts = tf.strings.split(marked, _MARK)
    present = parts.flat_values != ""
    before = tf.concat([[0], tf.cumsum(tf.cast(present, tf.int64))], axis=0)
    return tf.RaggedTensor.from_row_splits(
        tf.boolean_mask(parts.flat_values, present),
        tf.gather(before, parts.row_splits),
        validate=False,
    )


def join_rows(outer: tf.RaggedTensor, inner: tf.RaggedTensor) -> tf.RaggedTensor:
    """Concatenates the rows of `inner`, one for each value of `outer`, by rows of `outer`."""
    splits = tf.gather(inner.row_splits, outer.row_splits)
    return tf.RaggedTensor.from_row_splits(inner.flat_values, splits, validate=False)


class ByteBpeWordSplitter(tf.Module):
    """Splits texts into the words whose bytes `ByteBpeTokenizer` merges.

    Nothing is normalized: the concatenated words of a text are the text.

    Args:
        config: the tokenizer's configuration.
    """

    def __init__(self, config: ByteBpeConfig) -> None:
        super().__init__()
        del config  # no setting changes the words

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Splits texts into words: string `[batch]` → string `[batch, (words)]`."""
        chunks = split_chunks(with_valid_utf8(texts))
        return join_rows(chunks, split_words(chunks.flat_values))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def count(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The distinct words of texts `[batch]`, string `[words]`, and their counts, int64."""
        chunks = split_chunks(with_valid_utf8(texts)).flat_values
        distinct_chunks, _, repeats = tf.unique_with_counts(chunks, tf.int64)
        words = split_words(distinct_chunks)
        distinct, indices = tf.unique(words.flat_values)
        counts = tf.gather(repeats, words.value_rowids())
        return distinct, tf.math.unsorted_segment_sum(counts, indices, tf.size(distinct))
