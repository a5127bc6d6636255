"""Framing: token ids of one or two texts, with special tokens around them, as a backbone's inputs.

Each family writes its own rule once, in `models/<family>/inputs.py`, as a function `frame`.
Serving, training examples and tasks call that function, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf


class Framed(NamedTuple):
    """A batch of texts as a backbone reads it.

    Attributes:
        features: the backbone's inputs by name, `[batch, time, …]`.
        ids: the token ids among them, int32 `[batch, time]`, or `[batch, time, …]` where a token is
            a row of numbers.
        segments: int32 `[batch, time]`: 1 for the second text and its special tokens, else 0.
        token_index: int32 `[batch, time]`: a token's index in its own text; -1 for special tokens
            and padding.
    """

    features: Mapping[str, tf.Tensor]
    ids: tf.Tensor
    segments: tf.Tensor
    token_index: tf.Tensor

    def place(
        self, first: tf.RaggedTensor, second: tf.RaggedTensor | None = None, default: Any = 0
    ) -> tf.Tensor:
        """Moves one value per token to the positions of the tokens, `[batch, time]`.

        Args:
            first: a value for each token of the first text, `[batch, (tokens)]`; it may cover
                tokens that were cut off.
            second: a value for each token of the second text, if there is one.
            default: the value of special tokens and padding.
        """
        placed = _at_tokens(first, self.token_index, default)
        if second is not None:
            in_second = _at_tokens(second, self.token_index, default)
            placed = tf.where(self.segments == 1, in_second, placed)
        return placed


class Frame(Protocol):
    """The function `frame` of a family's `inputs.py`."""

    def __call__(
        self,
        first: tf.RaggedTensor,
        second: tf.RaggedTensor | None = None,
        *,
        special_ids: Mapping[str, int],
        max_length: int | None = None,
        time: int | None = None,
    ) -> Framed:
        """Frames a batch of texts, in graph.

        Args:
            first: token ids as `Tokenizer.tokenize` gives them, `[batch, (tokens)]`.
            second: token ids of the second text of each row, if texts come in pairs.
            special_ids: the tokenizer's, by role.
            max_length: positions of a row, at most; tokens that do not fit are cut off. None cuts
                nothing.
            time: positions of the result, not fewer than the longest row has. None: the length of
                the longest row.
        """


class Text(NamedTuple):
    """A batch of texts and the special tokens around each of them.

    Attributes:
        before: special tokens before the text, each an id or a row of numbers.
        ids: token ids, `[batch, (tokens)]` or `[batch, (tokens), …]`.
        after: special tokens after the text.
    """

    before: Sequence[Any]
    ids: tf.RaggedTensor
    after: Sequence[Any]


class Joined(NamedTuple):
    """Texts and special tokens, one after the other in each row; see `Framed` for the fields."""

    ids: tf.Tensor
    padding_mask: tf.Tensor
    """Int32 `[batch, time]`, 1 for a real token."""
    segments: tf.Tensor
    token_index: tf.Tensor

    def framed(self, features: Mapping[str, tf.Tensor]) -> Framed:
        """The batch with the backbone's inputs that a family makes of it."""
        return Framed(features, self.ids, self.segments, self.token_index)


def join(texts: Sequence[Text], padding: Any, time: int | None = None) -> Joined:
    """Joins the texts of each row and their special tokens, and pads the rows to one length.

    Args:
        texts: one or two batches of texts, of the same size.
        padding: the token after the end of a row, an id or a row of numbers.
        time: positions of the result; None takes the longest row's.
    """
    lengths = [tf.cast(text.ids.row_lengths(), tf.int32)[:, tf.newaxis] for text in texts]
    special = [marker for text in texts for marker in (*text.before, *text.after)]
    ends = tf.add_n(lengths) + len(special)
    position = tf.range(tf.maximum(tf.reduce_max(ends), 0) if time is None else time)
    # All tokens are in one array: padding, the special tokens, the texts. `entry` is the index of
    # the token at each position, so that one gather is enough.
    tokens = [tf.constant(np.array([padding, *special], np.int32))]
    tokens += [tf.cast(text.ids.flat_values, tf.int32) for text in texts]
    entry = tf.zeros_like(ends + position)
    token_index = entry - 1
    begin = tf.zeros_like(ends)  # where the next token of each row goes
    marker, first = 1, 1 + len(special)
    starts = []
    for text, length in zip(texts, lengths, strict=True):
        starts.append(begin)
        for _ in text.before:
            entry = tf.where(position == begin, marker, entry)
            marker, begin = marker + 1, begin + 1
        index = position - begin
        inside = (index >= 0) & (index < length)
        token_index = tf.where(inside, index, token_index)
        rows = tf.cast(text.ids.row_starts(), tf.int32)[:, tf.newaxis]
        entry = tf.where(inside, index + (first + rows), entry)
        first, begin = first + tf.shape(text.ids.flat_values)[0], begin + length
        for _ in text.after:
            entry = tf.where(position == begin, marker, entry)
            marker, begin = marker + 1, begin + 1
    real = position < ends
    segments = tf.zeros_like(entry)
    if len(texts) > 1:
        segments = tf.cast((position >= starts[1]) & real, tf.int32)
    ids = tf.gather(tf.concat(tokens, axis=0), entry)
    return Joined(ids, tf.cast(real, tf.int32), segments, token_index)


def cut(
    first: tf.RaggedTensor, second: tf.RaggedTensor | None, max_tokens: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor | None]:
    """Cuts texts to `max_tokens`: a single text at its end, a pair at the end of the longer text.

    Args:
        first, second: token ids, `[batch, (tokens), …]`.
        max_tokens: tokens of a row, not counting special tokens.
    """
    if second is None:
        return first[:, :max_tokens], None
    lengths = longest_first(first.row_lengths(), second.row_lengths(), max_tokens)
    return _first_tokens(first, lengths[0]), _first_tokens(second, lengths[1])


def longest_first(
    first: tf.Tensor, second: tf.Tensor, max_tokens: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lengths after tokens are removed from the longer side until both sides fit `max_tokens`.

    If both sides are equally long, the second side loses a token, as in google-research/bert.

    Args:
        first, second: integers `[pairs]`, tokens of each side.
        max_tokens: tokens of both sides together, at most.
    """
    half = (max_tokens + 1) // 2
    first_left = tf.minimum(first, tf.maximum(tf.cast(half, first.dtype), max_tokens - second))
    return first_left, tf.minimum(second, max_tokens - first_left)


def _first_tokens(ids: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """The first tokens of each row, `[batch]` of them."""
    position = tf.ragged.range(ids.row_lengths())
    return tf.ragged.boolean_mask(ids, position < tf.expand_dims(lengths, axis=1))


def _at_tokens(values: tf.RaggedTensor, token_index: tf.Tensor, default: Any) -> tf.Tensor:
    """Values of tokens by their index in the text, `[batch, time]`; -1 gives the default."""
    flat = values.flat_values
    starts = tf.cast(values.row_starts(), tf.int32)[:, tf.newaxis]
    index = tf.where(token_index >= 0, starts + token_index + 1, 0)
    # The default is entry 0; the indices of tokens of the other text may lie beyond the end.
    flat = tf.concat([tf.constant([default], flat.dtype), flat], axis=0)
    return tf.gather(flat, tf.minimum(index, tf.size(flat) - 1))
