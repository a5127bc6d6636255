"""The training loss on text that is not trained on, and what follows from it."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from models.examples import parse
from models.objective import Objective, numeric_features


class HeldOutLoss:
    """The loss over held-out examples, without dropout: Σ numerator / Σ denominator of each term.

    Args:
        model: from `objective.build_model`.
        objective: what is learned.
        files: gzip TFRecord files of serialized examples.
        batch_size: examples at a time.
        batches: so many at most, from the beginning of the first files on.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        files: Sequence[str],
        batch_size: int,
        batches: int,
    ) -> None:
        spec = numeric_features(objective.feature_spec())
        self._terms = objective.losses()
        self._batches = (
            tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
            .batch(batch_size)
            .take(batches)
            .map(lambda texts: parse(texts, spec), num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        names = {name for term in self._terms for name in (term.numerator, term.denominator)}

        @tf.function
        def sums(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            given = model(features, training=False)
            return {name: tf.reduce_sum(given[name]) for name in names}

        self._sums = sums

    def __call__(self) -> float:
        """The loss now."""
        totals: collections.Counter[str] = collections.Counter()
        for features in self._batches:
            totals.update({name: float(value) for name, value in self._sums(features).items()})
        return sum(
            term.weight * totals[term.numerator] / max(totals[term.denominator], 1.0)
            for term in self._terms
        )
