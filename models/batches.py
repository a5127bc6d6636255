"""Batches of training examples in an order that (seed, epoch) alone decide (law 5).

Neither the number of readers nor that of processes has a part in it: each process draws the whole
order and parses the rows of its own only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models.config import TrainingConfig
from models.devices import Devices, Features
from models.examples import parse
from models.objective import FeatureSpec, numeric_features

Batches = Callable[[int, int], tf.data.Dataset]
"""(epoch, batches of it that were trained on) → features `{name: [rows, *shape]}` of this process's
rows of each batch that is left, the same ones each time it is called."""

_FILES_AT_ONCE = 16  # whose examples come in turn; another number is another order
_EXAMPLES_IN_TURN = 16
_MEASURED_AT_ONCE = 256


def example_batches(
    files: Sequence[str],
    config: TrainingConfig,
    spec: FeatureSpec,
    streams: int | None = None,
    devices: Devices | None = None,
) -> Batches:
    """Batches for a training run.

    With `config.length_buckets` the examples of a batch are of about one length, and its features
    are cut to it, all processes' alike; an epoch's last examples of each length that fill no batch
    are left out, as without buckets the last ones of all are. Another epoch has its own order.

    Args:
        files: gzip TFRecord files of serialized examples.
        spec: their features.
        streams: see `Objective.streams`; with it only the order of the files is drawn, and
            `config.batch_size` divides them.
        devices: whose rows are wanted; None: all rows.

    Raises:
        ConfigError: the batch does not come out even on the devices.
    """
    spec = numeric_features(spec)
    cut = sorted(name for name, feature in spec.items() if feature.axis == "time")
    devices = devices or Devices()
    devices.rows_at_once(config.batch_size, config.accumulation)
    rows = devices.own_rows(config.batch_size)
    names = sorted(files)

    def batches(epoch: int, done: int = 0) -> tf.data.Dataset:
        rng = np.random.default_rng([config.seed, epoch])
        order = [names[i] for i in rng.permutation(len(names))]
        if streams is None:
            examples = tf.data.Dataset.from_tensor_slices(order).interleave(
                lambda name: tf.data.TFRecordDataset(name, compression_type="GZIP"),
                cycle_length=_FILES_AT_ONCE,
                block_length=_EXAMPLES_IN_TURN,
                num_parallel_calls=max(1, min(devices.config.readers, _FILES_AT_ONCE)),
                deterministic=True,
            )
            examples = examples.shuffle(
                config.shuffle_buffer,
                seed=int(rng.integers(2**31)),
                reshuffle_each_iteration=False,
            )
        else:
            examples = tf.data.TFRecordDataset(order, compression_type="GZIP")
        if config.length_buckets == 1:
            texts = examples.batch(config.batch_size, drop_remainder=True).skip(done)
            parsed = texts.map(
                lambda serialized: parse(serialized[rows], spec),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        else:
            parsed = (
                _alike(examples, config, spec)
                .skip(done)
                .map(
                    lambda serialized, time: _cut(parse(serialized[rows], spec), cut, time),
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
            )
        return parsed.prefetch(tf.data.AUTOTUNE)

    return batches


def bucket_ends(time: int, buckets: int) -> list[int]:
    """The longest length of each bucket, rising up to `time`."""
    return sorted({-(-time * i // buckets) for i in range(1, buckets + 1)})


def _alike(examples: tf.data.Dataset, config: TrainingConfig, spec: FeatureSpec) -> tf.data.Dataset:
    """Whole batches of serialized examples of one bucket of lengths, and the bucket's end."""
    mask = {"padding_mask": spec["padding_mask"]}
    (time,) = spec["padding_mask"].shape
    ends = bucket_ends(time, config.length_buckets)

    def measured(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return serialized, tf.reduce_sum(parse(serialized, mask)["padding_mask"], axis=1)

    def end(serialized: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return serialized, tf.gather(ends, tf.searchsorted(ends, lengths[:1])[0])

    return (
        examples.batch(_MEASURED_AT_ONCE)
        .map(measured, num_parallel_calls=tf.data.AUTOTUNE)
        .unbatch()
        .bucket_by_sequence_length(
            lambda _, length: length,
            bucket_boundaries=[each + 1 for each in ends[:-1]],
            bucket_batch_sizes=[config.batch_size] * len(ends),
            drop_remainder=True,
        )
        .map(end)
    )


def _cut(features: Features, names: Sequence[str], time: tf.Tensor) -> Features:
    """The features, the named ones up to a time only."""
    return {name: value[:, :time] if name in names else value for name, value in features.items()}
