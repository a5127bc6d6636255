"""The training loss on text that is not trained on, and what follows from it."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from models.errors import ConfigError
from models.examples import parse
from models.objective import Loss, Metric, Objective, numeric_features
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features

_LOGITS = 2**23
"""Logits of one part of a batch: 32 MiB, which leaves a processor's caches what the next operation
reads (with four times as many ELMo's evaluation takes twice the time)."""


def rows_of_a_part(objective: Objective) -> int:
    """Examples that are evaluated at once: bounds the memory, whatever the caller's batch."""
    return max(1, _LOGITS // objective.logits_per_example())


def no_examples() -> ConfigError:
    """The error for a split "eval" that is looked at and has no examples."""
    return ConfigError(
        'the split "eval" has no examples',
        where="ingestion.eval_share",
        remedy="raise it, give more text, or train with one seed and without eval_steps",
    )


class HeldOutLoss:
    """The loss over held-out examples, without dropout: Σ numerator / Σ denominator of each term.

    Batches are computed in parts, each no larger than a part of training and with no more logits
    than a part of `evaluate`: ELMo's evaluation has the logits that its training samples from.

    Args:
        model: from `objective.build_model`.
        objective: what is learned.
        files: gzip TFRecord files of serialized examples.
        config: how many examples a batch has, how many of them training computes at once, and how
            many batches are looked at: from the beginning of the first files on.
        devices: where it is computed. On several the last examples, that fill no batch, are left
            out.
        metrics: what `figures` gives beside the loss. Those of baselines need their tables.

    Raises:
        ConfigError: there are no examples.
    """

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        files: Sequence[str],
        config: TrainingConfig,
        devices: Devices | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None:
        if not files:
            raise no_examples()
        self._metrics = metrics
        self._devices = devices = devices or Devices()
        spec = numeric_features(objective.feature_spec())
        self._terms = objective.losses()
        rows_of_training = devices.rows_at_once(
            config.batch_size, config.gradient_accumulation_steps
        )
        at_once = min(rows_of_training, rows_of_a_part(objective)) * devices.replicas
        rows = devices.own_rows(at_once)
        self._batches = (
            tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
            .take(config.eval_batches * config.batch_size)
            .batch(at_once, drop_remainder=devices.replicas > 1)
            .map(lambda texts: parse(texts[rows], spec), num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        # In the order of the terms: processes add these numbers up by position, and a set of
        # strings has another order in each process.
        ratios: list[Loss | Metric] = [*self._terms, *metrics]
        names = dict.fromkeys(n for each in ratios for n in (each.numerator, each.denominator))
        self._names = list(names)

        def of_replica(features: Features) -> tf.Tensor:
            given = model(features, training=False)
            return tf.stack([tf.reduce_sum(given[name]) for name in self._names])

        @tf.function(autograph=False)
        def sums(features: Features) -> tf.Tensor:
            found = devices.strategy.run(of_replica, args=(features,))
            return devices.strategy.reduce("SUM", found, axis=None)

        self._sums = sums

    def __call__(self) -> float:
        """The loss now."""
        return self._loss(self._totals())

    def figures(self, loss: str) -> dict[str, float]:
        """The loss now, by the name that it is given, and the metrics by theirs; those that divide
        by 0 are NaN."""
        totals = self._totals()
        found = {loss: self._loss(totals)}
        for metric in self._metrics:
            below = totals[metric.denominator]
            ratio = totals[metric.numerator] / below if below else math.nan
            found[metric.name] = _exp(ratio) if metric.exponentiate else ratio
        return found

    def _loss(self, totals: Mapping[str, float]) -> float:
        return sum(
            term.weight * totals[term.numerator] / max(totals[term.denominator], 1.0)
            for term in self._terms
        )

    def _totals(self) -> Mapping[str, float]:
        totals: collections.Counter[str] = collections.Counter()
        for features in self._batches:
            sums = self._sums(self._devices.spread(features, axis=0)).numpy().tolist()
            totals.update(dict(zip(self._names, sums, strict=True)))
        if not totals:
            raise ConfigError(
                "there are not as many held-out examples as are computed at once",
                where="training.eval_steps",
                remedy="give more text, or set it to 0",
            )
        return totals


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
