"""Batches of training examples in an order that (seed, epoch) alone decide (law 5).

`models.training.example_order` computes the order. It depends neither on the number of processes
nor on where a run was interrupted. A process opens only the files that hold its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from models.examples import parse
from models.objective import FeatureSpec, numeric_features
from models.training.config import TrainingConfig
from models.training.devices import Devices, Features
from models.training.example_index import ExampleIndex, read_index
from models.training.example_order import EpochOrder

Batches = Callable[[int, int], tf.data.Dataset]
"""(epoch, batches of it that were trained on) → features `{name: [rows, *shape]}` of this process's
rows of each batch that is left, the same ones each time it is called."""

_BATCHES_AT_ONCE = (
    32  # rows of a lane handed over at once: each hand-over between threads costs time
)


def example_batches(
    files: Sequence[str],
    config: TrainingConfig,
    spec: FeatureSpec,
    streams: int | None = None,
    devices: Devices | None = None,
    prepare: Callable[[Features, int], Features] | None = None,
) -> Batches:
    """Batches for a training run.

    With `config.length_buckets` the examples of a batch are of about one length, and its features
    are cut to the bucket of the longest, all processes' alike. Of an epoch's examples those that
    fill no batch are left out. Another epoch has its own order.

    A block of each lane is read ahead, so that up to `2 · config.shuffle_buffer` examples are held.

    Args:
        files: gzip TFRecord files of serialized examples in one folder, with their index.
        spec: their features.
        streams: see `Objective.streams`; with it only the order of the files is drawn, and
            `config.batch_size` divides them. A batch's rows are then streams of one file, which
            every process reads, each parsing its own rows.
        devices: whose rows are wanted; None: all rows.
        prepare: see `Objective.prepare`.

    Raises:
        ConfigError: the batch does not come out even on the devices, or the files have no index.
    """
    spec = numeric_features(spec)
    devices = devices or Devices()
    at_once = devices.rows_at_once(config.batch_size, config.gradient_accumulation_steps)
    rows = devices.own_rows(config.batch_size)
    index = read_index(files)

    def batches(epoch: int, done: int = 0) -> tf.data.Dataset:
        order = EpochOrder(index, config, epoch, in_order=streams is not None)
        block, skipped = divmod(done, order.block)
        lanes = range(rows.start // order.rows, -(-rows.stop // order.rows))
        begin = rows.start - lanes.start * order.rows
        own = slice(begin, begin + rows.stop - rows.start)
        lengths = tf.constant(order.lengths(block)) if config.length_buckets > 1 else None
        texts = _rows(index, order, lanes, block, lengths).map(lambda each: each[:, own]).unbatch()
        if lengths is not None:
            ends = _bucket_ends(order, spec, config.length_buckets, block, lengths)
            parsed = (
                tf.data.Dataset.zip((texts, ends))
                .skip(skipped)
                .map(
                    lambda serialized, time: _cut(parse(serialized, spec), spec, time),
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
            )
        else:
            parsed = texts.skip(skipped).map(
                lambda serialized: parse(serialized, spec), num_parallel_calls=tf.data.AUTOTUNE
            )
        if prepare:
            parsed = parsed.map(lambda batch: prepare(batch, at_once), tf.data.AUTOTUNE)
        return parsed.prefetch(tf.data.AUTOTUNE)

    return batches


def bucket_ends(time: int, buckets: int) -> list[int]:
    """The longest length of each bucket, rising up to `time`."""
    return sorted({-(-time * i // buckets) for i in range(1, buckets + 1)})


def _rows(
    index: ExampleIndex,
    order: EpochOrder,
    lanes: range,
    first: int,
    lengths: tf.Tensor | None,
) -> tf.data.Dataset:
    """Serialized examples `[batches, rows of lanes]`, a few batches at a time, from a block on."""
    segments = [order.segments(lane, first) for lane in lanes]
    names = tf.constant([index.files[n] for each in segments for n in each.files], tf.string)
    skips = tf.constant(np.concatenate([each.skips for each in segments]), tf.int64)
    takes = tf.constant(np.concatenate([each.takes for each in segments]), tf.int64)
    edges = tf.constant(np.cumsum([0, *(len(each.files) for each in segments)]), tf.int64)

    def read(name: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(name, compression_type="GZIP").skip(skip).take(take)

    def of_lane(number: tf.Tensor) -> tf.data.Dataset:
        parts = slice(edges[number], edges[number + 1])
        lane = number + lanes.start

        def in_turn(block: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
            of_block = None
            if lengths is not None:
                of_block = _of_block(lengths, order, block - first)[lane]
            places = order.places(lane, block, tf.size(examples), of_block)
            return tf.gather(examples, places)

        return (
            tf.data.Dataset.from_tensor_slices((names[parts], skips[parts], takes[parts]))
            .flat_map(read)
            .batch(order.block * order.rows)
            .enumerate(first)
            .map(in_turn)
            .prefetch(1)  # the next block is read while this one is trained on
            .unbatch()
            .batch(_BATCHES_AT_ONCE)
        )

    def beside(lanes_of: tf.Tensor) -> tf.Tensor:
        together = tf.transpose(lanes_of, [1, 0, 2])
        return tf.reshape(together, [-1, len(lanes) * order.rows])

    return (
        tf.data.Dataset.range(len(lanes))
        .interleave(
            of_lane,
            cycle_length=len(lanes),
            block_length=1,
            num_parallel_calls=len(lanes),
            deterministic=True,
        )
        .batch(len(lanes), drop_remainder=True)
        .map(beside)
    )


def _of_block(lengths: tf.Tensor, order: EpochOrder, block: tf.Tensor) -> tf.Tensor:
    """The lengths of a block `[lanes, examples]`, counted from the first one that they are of."""
    size = order.block * order.rows
    return lengths[:, block * size : (block + 1) * size]


def _bucket_ends(
    order: EpochOrder, spec: FeatureSpec, buckets: int, first: int, lengths: tf.Tensor
) -> tf.data.Dataset:
    """The end of the bucket of each batch's longest example, from block `first` on."""
    (time,) = spec["padding_mask"].shape
    ends = tf.constant(bucket_ends(time, buckets), tf.int32)

    def of_block(block: tf.Tensor) -> tf.Tensor:
        longest = order.longest(block, _of_block(lengths, order, block - first))
        return tf.gather(ends, tf.searchsorted(ends, longest))

    blocks = -(-order.batches // order.block)
    return tf.data.Dataset.range(first, blocks).map(of_block).unbatch()


def _cut(features: Features, spec: FeatureSpec, time: tf.Tensor) -> Features:
    """The features, those along the time up to a time only."""
    return {
        name: value[:, :time] if spec[name].axis == "time" else value
        for name, value in features.items()
    }
