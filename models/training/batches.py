"""Reads batches of training examples, in an order that depends only on seed and epoch.

`models.training.example_order` computes the order. It depends neither on the number of processes
nor on where a run was interrupted (law "Determinism by content"). A process opens only the files
that hold its rows.
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
from models.training.example_order import EpochOrder, Segments

Batches = Callable[[int, int], tf.data.Dataset]
"""(epoch, batches of it that were trained on) → the remaining batches of the epoch, as features
`{name: [rows, *shape]}` of this process's rows. Equal arguments give equal batches."""

_PASSED_AT_ONCE = 32  # batches; passing data between tf.data's threads costs time each time


def example_batches(
    files: Sequence[str],
    config: TrainingConfig,
    spec: FeatureSpec,
    streams: int | None = None,
    devices: Devices | None = None,
    prepare: Callable[[Features, int], Features] | None = None,
) -> Batches:
    """The batches of a training run.

    With `config.length_buckets` the examples of a batch have similar lengths, and its features are
    cut to the bucket of the longest one, in all processes equally. Examples of an epoch that do not
    fill a batch are left out. Each epoch has its own order.

    One block per lane is read ahead, so up to `2 · config.shuffle_buffer` examples are in memory.

    Args:
        files: gzip TFRecord files of serialized examples in one folder, which has an index.
        config: see `EpochOrder`.
        spec: the examples' features.
        streams: see `Objective.streams`. If it is not None, only the files are shuffled, and a
            batch's rows are streams of one file; `config.batch_size` divides their number. Every
            process then reads all rows and parses its own.
        devices: whose rows to return; None: all rows.
        prepare: see `Objective.prepare`.

    Raises:
        ConfigError: the devices cannot divide the batch equally, or the files have no index.
    """
    spec = numeric_features(spec)
    devices = devices or Devices()
    micro_batch = devices.micro_batch_size(config.batch_size, config.gradient_accumulation_steps)
    rows = devices.process_rows(config.batch_size)
    index = read_index(files)

    def batches(epoch: int, done: int = 0) -> tf.data.Dataset:
        order = EpochOrder(index, config, epoch, in_order=streams is not None)
        first_block, skipped = divmod(done, order.block)
        lengths = ends = None
        if config.length_buckets > 1:
            lengths = tf.constant(order.lengths(first_block))
            ends = _bucket_ends(order, spec, config.length_buckets, first_block, lengths)
        serialized = _Reader(index, order, first_block, lengths).read(rows)
        parsed = _parsed(serialized, ends, skipped, spec)
        if prepare:
            parsed = parsed.map(lambda batch: prepare(batch, micro_batch), tf.data.AUTOTUNE)
        return parsed.prefetch(tf.data.AUTOTUNE)

    return batches


def _parsed(
    serialized: tf.data.Dataset, ends: tf.data.Dataset | None, skipped: int, spec: FeatureSpec
) -> tf.data.Dataset:
    """Features of batches of serialized examples.

    Args:
        serialized: strings `[rows]` for each batch.
        ends: the length to cut each batch to; None: no cutting.
        skipped: batches to leave out at the beginning.
        spec: the examples' features.
    """
    if ends is None:
        return serialized.skip(skipped).map(
            lambda texts: parse(texts, spec), num_parallel_calls=tf.data.AUTOTUNE
        )
    return (
        tf.data.Dataset.zip((serialized, ends))
        .skip(skipped)
        .map(
            lambda texts, end: _cut(parse(texts, spec), spec, end),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    )


def bucket_ends(length: int, buckets: int) -> list[int]:
    """The maximum length of each bucket, ascending up to `length`."""
    return sorted({-(-length * i // buckets) for i in range(1, buckets + 1)})


class _Reader:
    """Reads the serialized examples of an epoch's lanes, from a block on.

    Args:
        index: the index of the files.
        order: the order of the epoch.
        first_block: the block to begin with.
        lengths: the lengths of all examples from that block on, `[lanes, examples]`, to sort a
            block by; None: no sorting.
    """

    def __init__(
        self,
        index: ExampleIndex,
        order: EpochOrder,
        first_block: int,
        lengths: tf.Tensor | None,
    ) -> None:
        self._index = index
        self._order = order
        self._first_block = first_block
        self._lengths = lengths

    def read(self, rows: slice) -> tf.data.Dataset:
        """Serialized examples of some rows of each batch, `[rows]`. Reads only their lanes."""
        per_lane = self._order.rows
        lanes = range(rows.start // per_lane, -(-rows.stop // per_lane))
        start = rows.start - lanes.start * per_lane
        rows_of_lanes = slice(start, start + rows.stop - rows.start)
        return self._read_lanes(lanes).map(lambda batches: batches[:, rows_of_lanes]).unbatch()

    def _read_lanes(self, lanes: range) -> tf.data.Dataset:
        """Serialized examples `[batches, rows of the lanes]`, a few batches at a time."""
        order = self._order
        segments = [order.segments(lane, self._first_block) for lane in lanes]
        names, skips, takes = self._file_parts(segments)
        bounds = np.cumsum([0, *(len(each.files) for each in segments)])
        bounds = tf.constant(bounds, tf.int64)

        @tf.autograph.experimental.do_not_convert
        def read_lane(number: tf.Tensor) -> tf.data.Dataset:
            parts = slice(bounds[number], bounds[number + 1])
            return (
                tf.data.Dataset.from_tensor_slices((names[parts], skips[parts], takes[parts]))
                .flat_map(_read_file)
                .batch(order.block * order.rows)
                .enumerate(self._first_block)
                .map(lambda block, examples: self._ordered(number + lanes.start, block, examples))
                .prefetch(1)  # the next block is read while this block is trained on
                .unbatch()
                .batch(_PASSED_AT_ONCE)
            )

        @tf.autograph.experimental.do_not_convert
        def join_lanes(examples: tf.Tensor) -> tf.Tensor:
            batch_major = tf.transpose(examples, [1, 0, 2])
            return tf.reshape(batch_major, [-1, len(lanes) * order.rows])

        return (
            tf.data.Dataset.range(len(lanes))
            .interleave(
                read_lane,
                cycle_length=len(lanes),
                block_length=1,
                num_parallel_calls=len(lanes),
                deterministic=True,
            )
            .batch(len(lanes), drop_remainder=True)
            .map(join_lanes)
        )

    def _file_parts(self, segments: Sequence[Segments]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Names of files, examples to skip and examples to take in them, of all segments."""
        names = [self._index.files[number] for each in segments for number in each.files]
        skips = np.concatenate([each.skips for each in segments])
        takes = np.concatenate([each.takes for each in segments])
        return (
            tf.constant(names, tf.string),
            tf.constant(skips, tf.int64),
            tf.constant(takes, tf.int64),
        )

    def _ordered(self, lane: tf.Tensor, block: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
        """A lane's examples of a block `[examples]` in their order, `[batches, rows]`."""
        lengths = None
        if self._lengths is not None:
            lengths = _of_block(self._lengths, self._order, block - self._first_block)[lane]
        return tf.gather(examples, self._order.positions(lane, block, tf.size(examples), lengths))


def _read_file(name: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(name, compression_type="GZIP").skip(skip).take(take)


def _of_block(lengths: tf.Tensor, order: EpochOrder, block: tf.Tensor) -> tf.Tensor:
    """The lengths of a block, `[lanes, examples]`.

    Args:
        lengths: the lengths of all examples from some block on.
        order: the order of the epoch.
        block: the number of the block, counted from that block.
    """
    size = order.block * order.rows
    return lengths[:, block * size : (block + 1) * size]


def _bucket_ends(
    order: EpochOrder, spec: FeatureSpec, buckets: int, first_block: int, lengths: tf.Tensor
) -> tf.data.Dataset:
    """The end of the bucket of each batch's longest example, from block `first_block` on."""
    (length,) = spec["padding_mask"].shape
    ends = tf.constant(bucket_ends(length, buckets), tf.int32)

    def of_block(block: tf.Tensor) -> tf.Tensor:
        longest = order.max_lengths(block, _of_block(lengths, order, block - first_block))
        return tf.gather(ends, tf.searchsorted(ends, longest))

    blocks = -(-order.batches // order.block)
    return tf.data.Dataset.range(first_block, blocks).map(of_block).unbatch()


def _cut(features: Features, spec: FeatureSpec, length: tf.Tensor) -> Features:
    """The features, cut to a length along the time axis."""
    return {
        name: value[:, :length] if spec[name].axis == "time" else value
        for name, value in features.items()
    }
