"""What a model must beat: predictions from the training text's frequencies alone.

The tables are weights, so that they are saved, exported and evaluated in graph with the model.
"""

from __future__ import annotations

import math

import keras
import numpy as np

_DISCOUNT = 0.75
_NO_PAIR = np.iinfo(np.int64).max
_PAIRS_BETWEEN_MERGES = 4_000_000


class UnigramBaseline(keras.layers.Layer):
    """Predicts every token from its frequency alone.

    Uniform until `fill` is called.
    """

    def __init__(self, vocabulary_size: int, name: str = "unigram") -> None:
        super().__init__(name=name, dtype="float32", trainable=False)
        self.vocabulary_size = vocabulary_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the table `[vocabulary]` of log-probabilities."""
        self.log_probabilities = _table(
            self, "log_probabilities", self.vocabulary_size, -math.log(self.vocabulary_size)
        )

    def call(self, labels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Negative log-likelihood and correctness (0 or 1) of labels, float32 in their shape."""
        table = keras.ops.convert_to_tensor(self.log_probabilities)
        best = keras.ops.cast(keras.ops.argmax(table), labels.dtype)
        return (
            -keras.ops.take(table, labels, axis=0),
            keras.ops.cast(keras.ops.equal(labels, best), "float32"),
        )

    def fill(self, counts: np.ndarray) -> None:
        """Takes the frequencies of counts `[vocabulary]`, one added to each: none has none."""
        self.log_probabilities.assign(_smoothed(counts))


class BigramBaseline(keras.layers.Layer):
    """Predicts every token from the one before it: absolute discounting (Ney et al., 1994).

    P(w | v) = max(c(v, w) - 0.75, 0) / c(v) + λ(v) · P(w), where P(w) is the unigram frequency with
    one added to each count and λ(v) is what the first term leaves. Only the most frequent pairs are
    kept; for the others the first term is 0, and λ(v) larger, so that it stays a distribution.
    Uniform until `fill` is called.

    Args:
        vocabulary_size: entries that tokens are ids of.
        pairs: how many pairs are kept at most; each takes 12 bytes.
    """

    def __init__(self, vocabulary_size: int, pairs: int, name: str = "bigram") -> None:
        super().__init__(name=name, dtype="float32", trainable=False)
        self.vocabulary_size = vocabulary_size
        self.pairs = pairs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the tables: pairs as ascending `v · vocabulary + w`, and what they are worth."""
        self.keys = self.add_weight(
            name="keys",
            shape=(self.pairs,),
            dtype="int64",
            initializer=lambda shape, dtype=None: keras.ops.full(shape, _NO_PAIR, dtype),
            trainable=False,
        )
        self.discounted = _table(self, "discounted", self.pairs, 0.0)
        self.left_over = _table(self, "left_over", self.vocabulary_size, 1.0)
        self.log_probabilities = _table(
            self, "log_probabilities", self.vocabulary_size, -math.log(self.vocabulary_size)
        )

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
            training: the loss has no use for it, so training does not look it up.

        Returns:
            float32 in the shape of `labels`; zeros in training.
        """
        if training:
            return keras.ops.zeros_like(labels, dtype="float32")
        ops = keras.ops
        wanted = ops.cast(previous, "int64") * self.vocabulary_size + ops.cast(labels, "int64")
        keys = ops.convert_to_tensor(self.keys)
        flat = ops.reshape(wanted, (-1,))
        place = ops.minimum(ops.searchsorted(keys, flat), self.pairs - 1)
        known = ops.equal(ops.take(keys, place, axis=0), flat)
        seen = ops.where(known, ops.take(self.discounted, place, axis=0), 0.0)
        backed_off = ops.take(self.left_over, previous, axis=0) * ops.exp(
            ops.take(self.log_probabilities, labels, axis=0)
        )
        return -ops.log(ops.reshape(seen, ops.shape(labels)) + backed_off)

    def fill(self, counts: PairCounts) -> None:
        """Takes the frequencies of counted pairs."""
        size = self.vocabulary_size
        before = np.bincount(counts.keys // size, counts.counts, minlength=size)
        kept = np.sort(np.lexsort((counts.keys, -counts.counts))[: self.pairs])
        keys, number = counts.keys[kept], counts.counts[kept]
        worth = (number - _DISCOUNT) / before[keys // size]
        left = np.ones(size)
        np.subtract.at(left, keys // size, worth)
        room = self.pairs - len(keys)
        self.keys.assign(np.pad(keys, (0, room), constant_values=_NO_PAIR))
        self.discounted.assign(np.pad(worth, (0, room)).astype(np.float32))
        self.left_over.assign(left.astype(np.float32))
        after = np.bincount(counts.keys % size, counts.counts, minlength=size)
        self.log_probabilities.assign(_smoothed(after))


class PairCounts:
    """How often each token follows each other, counted batch by batch.

    Attributes:
        keys: `v · vocabulary + w` of the pairs (v, w) that occur, ascending, int64 `[pairs]`.
        counts: their occurrences, int64 `[pairs]`.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size
        self._parts: list[np.ndarray] = []
        self._keys = self._counts = np.zeros(0, np.int64)

    def add(self, previous: np.ndarray, following: np.ndarray) -> None:
        """Counts pairs, both `[pairs]`."""
        self._parts.append(previous.astype(np.int64) * self.vocabulary_size + following)
        if sum(map(len, self._parts)) > _PAIRS_BETWEEN_MERGES:
            self._merge()

    @property
    def keys(self) -> np.ndarray:
        """See the class."""
        self._merge()
        return self._keys

    @property
    def counts(self) -> np.ndarray:
        """See the class."""
        self._merge()
        return self._counts

    def _merge(self) -> None:
        if not self._parts:
            return
        fresh, number = np.unique(np.concatenate(self._parts), return_counts=True)
        self._parts.clear()
        keys, where = np.unique(np.concatenate([self._keys, fresh]), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, where.ravel(), np.concatenate([self._counts, number]))
        self._keys, self._counts = keys, counts


def _table(layer: keras.layers.Layer, name: str, size: int, value: float) -> keras.Variable:
    return layer.add_weight(
        name=name,
        shape=(size,),
        initializer=keras.initializers.Constant(value),
        trainable=False,
    )


def _smoothed(counts: np.ndarray) -> np.ndarray:
    smoothed = counts + 1.0
    return np.log(smoothed / smoothed.sum()).astype(np.float32)
