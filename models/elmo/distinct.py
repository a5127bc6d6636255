"""The distinct words of a batch, so that the token layer computes each word once.

In training they are found on the host, while examples are read, so that a step on an accelerator
does not wait for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from models.tokenizers.character import PADDING, WORD_LENGTH

Features = Mapping[str, tf.Tensor]

_WORDS, _PLACES, _SIZES = "distinct_words", "word_places", "word_sizes"


class DistinctWords(NamedTuple):
    """The distinct words of a batch."""

    characters: tf.Tensor
    """Int32 `[words, 50]`; rows after the first `sizes[0]` are padding."""
    places: tf.Tensor
    """Int32 of any shape: the row in `characters` of the word at each position."""
    sizes: tf.Tensor
    """Int32 `[2]`: the number of words, and the characters of the longest word."""


def find(words: tf.Tensor) -> DistinctWords:
    """The distinct rows of words `[positions, 50]`, in the order of their first occurrence."""
    with tf.device("CPU"):  # the GPU's kernel compares single numbers, not rows
        distinct, places = tf.raw_ops.UniqueV2(x=words, axis=[0])
    used = tf.reduce_any((distinct != PADDING) & (distinct != 0), axis=0)
    longest = tf.reduce_max(tf.where(used, tf.range(1, WORD_LENGTH + 1), 0))
    return DistinctWords(distinct, places, tf.stack([tf.shape(distinct)[0], longest]))


def prepare(features: Features, rows: int) -> Features:
    """Replaces the words of both directions by their distinct words.

    Each feature keeps one entry for each row of the batch, so that the batch can be split between
    steps and devices: the distinct words of `rows` rows are padded to the size of all their words.

    Args:
        features: features of a batch, with `character_ids` and `backward_character_ids`.
        rows: rows that are computed at once; they divide the batch.
    """
    both = tf.stack([features["character_ids"], features["backward_character_ids"]], axis=1)
    batch, _, time, _ = both.shape
    room = rows * 2 * time

    def of_rows(words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found = find(words)
        padding = [[0, room - tf.shape(found.characters)[0]], [0, 0]]
        return (
            tf.ensure_shape(tf.pad(found.characters, padding), [room, WORD_LENGTH]),
            found.places,
            tf.tile(found.sizes[tf.newaxis], [rows, 1]),
        )

    signature = (
        tf.TensorSpec([room, WORD_LENGTH], both.dtype),
        tf.TensorSpec([room], tf.int32),
        tf.TensorSpec([rows, 2], tf.int32),
    )
    words, places, sizes = tf.map_fn(
        of_rows, tf.reshape(both, [-1, room, WORD_LENGTH]), fn_output_signature=signature
    )
    others = {name: value for name, value in features.items() if "character_ids" not in name}
    return {
        **others,
        _WORDS: tf.reshape(words, [batch, 2 * time, WORD_LENGTH]),
        _PLACES: tf.reshape(places, [batch, 2, time]),
        _SIZES: tf.reshape(sizes, [batch, 2]),
    }


def prepared(features: Features) -> DistinctWords | None:
    """The distinct words of rows that are computed at once, with `places` `[2, batch, time]`.

    Returns:
        None if the features were not prepared.
    """
    if _WORDS not in features:
        return None
    return DistinctWords(
        tf.reshape(features[_WORDS], [-1, WORD_LENGTH]),
        tf.transpose(features[_PLACES], [1, 0, 2]),
        features[_SIZES][0],
    )
