"""The loss and the metrics of a model on held-out examples."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from models.errors import ConfigError
from models.examples import parse
from models.metric import Metric
from models.objective import Loss, Objective, numeric_features
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features

_MAX_LOGITS = 2**23
"""Logits that are computed at once: 32 MiB, which stay in a processor's caches until the next
operation reads them. With four times as many, ELMo's evaluation takes twice the time."""


def evaluation_batch_size(objective: Objective) -> int:
    """Examples to evaluate at once, which limits the memory for any batch of the caller."""
    return max(1, _MAX_LOGITS // objective.logits_per_example())


def no_examples() -> ConfigError:
    """The error for an evaluation on the split "eval" that has no examples."""
    return ConfigError(
        'the split "eval" has no examples',
        where="ingestion.eval_share",
        remedy="raise it, provide more text, or train with one seed and without eval_steps",
    )


class HeldOutLoss:
    """The loss over held-out examples, without dropout: Σ numerator / Σ denominator of each term.

    Batches are computed in parts, each no larger than a micro-batch of training and with no more
    logits than a part of the signature `evaluate`: ELMo's evaluation computes all the logits of
    which its training samples some.

    Args:
        model: from `objective.build_model`.
        objective: what is learned.
        files: gzip TFRecord files of serialized examples.
        config: `batch_size`, `gradient_accumulation_steps` and `eval_batches`. The first
            `eval_batches` batches of the sorted files are evaluated.
        devices: where to compute. On several devices the last examples are left out if they do not
            fill a batch.
        metrics: what `metrics` returns besides the loss. Metrics of baselines need their tables.

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
        micro_batch = devices.micro_batch_size(
            config.batch_size, config.gradient_accumulation_steps
        )
        batch_size = min(micro_batch, evaluation_batch_size(objective)) * devices.replicas
        rows = devices.process_rows(batch_size)
        self._batches = (
            tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")
            .take(config.eval_batches * config.batch_size)
            .batch(batch_size, drop_remainder=devices.replicas > 1)
            .map(lambda texts: parse(texts[rows], spec), num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )
        # No set, whose order differs between processes: they add these numbers up by position.
        ratios: list[Loss | Metric] = [*self._terms, *metrics]
        names = dict.fromkeys(n for each in ratios for n in (each.numerator, each.denominator))
        self._names = list(names)

        def of_replica(features: Features) -> tf.Tensor:
            outputs = model(features, training=False)
            return tf.stack([tf.reduce_sum(outputs[name]) for name in self._names])

        @tf.function(autograph=False)
        def sums(features: Features) -> tf.Tensor:
            replica_sums = devices.strategy.run(of_replica, args=(features,))
            return devices.strategy.reduce("SUM", replica_sums, axis=None)

        self._sums = sums

    def __call__(self) -> float:
        """The loss of the model's current weights."""
        return self._loss(self._totals())

    def metrics(self, loss_name: str) -> dict[str, float]:
        """The loss and the metrics of the model's current weights, by name.

        A metric whose denominator is 0 is NaN.

        Args:
            loss_name: the name of the loss in the result.
        """
        totals = self._totals()
        values = {loss_name: self._loss(totals)}
        for metric in self._metrics:
            denominator = totals[metric.denominator]
            ratio = totals[metric.numerator] / denominator if denominator else math.nan
            values[metric.name] = _exp(ratio) if metric.exponentiate else ratio
        return values

    def _loss(self, totals: Mapping[str, float]) -> float:
        return sum(
            term.weight * totals[term.numerator] / max(totals[term.denominator], 1.0)
            for term in self._terms
        )

    def _totals(self) -> Mapping[str, float]:
        """The sums of all numerators and denominators over all batches."""
        totals: collections.Counter[str] = collections.Counter()
        for features in self._batches:
            sums = self._sums(self._devices.split_over_replicas(features, axis=0)).numpy().tolist()
            totals.update(dict(zip(self._names, sums, strict=True)))
        if not totals:
            raise ConfigError(
                "the held-out examples do not fill one batch on the devices",
                where="training.eval_steps",
                remedy="provide more text, or set it to 0",
            )
        return totals


def _exp(value: float) -> float:
    """The exponential; infinite instead of an error where it is too large."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
