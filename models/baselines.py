"""Baselines: predictions from the frequencies of the training text, which a model must beat.

The exported model evaluates itself, so its graph contains the tables. They are not weights: no
checkpoint holds them, and a warm start does not depend on their sizes.
"""

from __future__ import annotations

import math
import types
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from models.counts import Counts

_DISCOUNT = 0.75
_NO_PAIR = np.iinfo(np.int64).max


class Baseline(keras.layers.Layer):
    """A prediction from tables that are filled, not trained.

    Keras and `tf.train.Checkpoint` do not see its variables; the exporter tracks `tables`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32", trainable=False)
        self._hidden = types.SimpleNamespace()  # an attribute of the layer itself would be tracked

    @property
    def tables(self) -> Sequence[tf.Variable]:
        """All tables."""
        return list(vars(self._hidden).values())

    def add_table(self, name: str, value: np.ndarray | np.generic) -> tf.Variable:
        """Adds a table with an initial value."""
        table = tf.Variable(value, trainable=False, name=name)
        setattr(self._hidden, name, table)
        return table

    def table(self, name: str) -> tf.Tensor:
        """The content of a table."""
        return tf.convert_to_tensor(getattr(self._hidden, name))

    def assign(self, name: str, value: np.ndarray | np.generic) -> None:
        """Fills a table."""
        getattr(self._hidden, name).assign(value)


class UnigramBaseline(Baseline):
    """Predicts every token from its frequency alone.

    Uniform until `fill` is called.
    """

    def __init__(self, vocabulary_size: int, name: str = "unigram") -> None:
        super().__init__(name)
        self.vocabulary_size = vocabulary_size
        self.add_table("log_probabilities", _uniform(vocabulary_size))

    def call(self, labels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Negative log-likelihood and correctness (0 or 1) of labels, float32 in their shape."""
        table = self.table("log_probabilities")
        best = keras.ops.cast(keras.ops.argmax(table), labels.dtype)
        return (
            -keras.ops.take(table, labels, axis=0),
            keras.ops.cast(keras.ops.equal(labels, best), "float32"),
        )

    def fill(self, counts: np.ndarray) -> None:
        """Sets the frequencies from counts `[vocabulary]`, with add-one smoothing."""
        self.assign("log_probabilities", smoothed(counts))


class BigramBaseline(Baseline):
    """Predicts every token from the one before it: absolute discounting (Ney et al., 1994).

    P(w | v) = max(c(v, w) - 0.75, 0) / c(v) + λ(v) · P(w), where P(w) is the unigram frequency with
    one added to each count and λ(v) is what the first term leaves. Only the most frequent pairs are
    kept; for other pairs the first term is 0 and λ(v) larger, so the sum over w stays 1.
    Uniform until `fill` is called.

    Args:
        vocabulary_size: entries that tokens are ids of.
        pairs: pairs to keep, at most; each takes 12 bytes.
    """

    def __init__(self, vocabulary_size: int, pairs: int, name: str = "bigram") -> None:
        super().__init__(name)
        self.vocabulary_size = vocabulary_size
        self.pairs = pairs
        # Pairs as ascending `v · vocabulary + w`, and the first term of each.
        self.add_table("keys", np.full(pairs, _NO_PAIR))
        self.add_table("discounted", np.zeros(pairs, np.float32))
        self.add_table("left_over", np.ones(vocabulary_size, np.float32))
        self.add_table("log_probabilities", _uniform(vocabulary_size))

    def call(
        self,
        previous: keras.KerasTensor,
        labels: keras.KerasTensor,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Negative log-likelihood of labels after the tokens before them.

        Args:
            previous: ids, in any shape.
            labels: ids in the same shape.
            training: in training the result is not needed, and not computed.

        Returns:
            float32 in the shape of `labels`; zeros in training.
        """
        if training:
            return keras.ops.zeros_like(labels, dtype="float32")
        ops = keras.ops
        pairs = ops.cast(previous, "int64") * self.vocabulary_size + ops.cast(labels, "int64")
        keys = self.table("keys")
        flat = ops.reshape(pairs, (-1,))
        index = ops.minimum(ops.searchsorted(keys, flat), self.pairs - 1)
        kept = ops.equal(ops.take(keys, index, axis=0), flat)
        discounted = ops.where(kept, ops.take(self.table("discounted"), index, axis=0), 0.0)
        backed_off = ops.take(self.table("left_over"), previous, axis=0) * ops.exp(
            ops.take(self.table("log_probabilities"), labels, axis=0)
        )
        return -ops.log(ops.reshape(discounted, ops.shape(labels)) + backed_off)

    def fill(self, counts: Counts) -> None:
        """Sets the tables from counted pairs, `v · vocabulary + w` each."""
        size = self.vocabulary_size
        before = np.bincount(counts.keys // size, counts.counts, minlength=size)
        kept = _most_frequent(counts.counts, self.pairs)
        keys, occurrences = counts.keys[kept], counts.counts[kept]
        discounted = (occurrences - _DISCOUNT) / before[keys // size]
        left_over = 1 - np.bincount(keys // size, discounted, minlength=size)
        unused = self.pairs - len(keys)
        self.assign("keys", np.pad(keys, (0, unused), constant_values=_NO_PAIR))
        self.assign("discounted", np.pad(discounted, (0, unused)).astype(np.float32))
        self.assign("left_over", left_over.astype(np.float32))
        self.assign("log_probabilities", smoothed(following(counts, size)))


def following(pairs: Counts, vocabulary_size: int) -> np.ndarray:
    """How often each token is the second of a pair, `[vocabulary]`."""
    return np.bincount(pairs.keys % vocabulary_size, pairs.counts, minlength=vocabulary_size)


def _most_frequent(counts: np.ndarray, number: int) -> np.ndarray:
    """The indices of the `number` largest counts, ascending; of equal counts the first are kept."""
    if len(counts) <= number:
        return np.arange(len(counts))
    smallest = np.partition(counts, len(counts) - number)[len(counts) - number]
    larger = np.flatnonzero(counts > smallest)
    equal = np.flatnonzero(counts == smallest)[: number - len(larger)]
    return np.sort(np.concatenate([larger, equal]))


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Logarithms of the frequencies of counts with add-one smoothing, float32."""
    incremented = counts + 1.0
    return np.log(incremented / incremented.sum()).astype(np.float32)


def _uniform(size: int) -> np.ndarray:
    return np.full(size, -math.log(size), np.float32)
