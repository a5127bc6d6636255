"""The order of training examples: which examples each batch of an epoch holds.

It is computed from the index alone, without opening a file. The files of an epoch are permuted, and
the sequence of their examples is cut into lanes of equal length. Every batch takes the same number
of rows from each lane. A lane is read from beginning to end, in blocks that are shuffled. All
random draws are keyed by seed, epoch, block and lane. So the start of batch n is known before
anything is read, and a process reads only the lanes that hold its rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.training.config import TrainingConfig
from models.training.example_index import ExampleIndex

_MAX_LANES = 8  # another number gives another order
_RNG_ALGORITHM = "philox"  # gives the same numbers on every processor


class Segments(NamedTuple):
    """A sequence of parts of files.

    Attributes:
        files: number of each part's file in the index, int64 `[parts]`.
        skips: examples before the part in its file, int64 `[parts]`.
        takes: examples of the part, int64 `[parts]`.
    """

    files: np.ndarray
    skips: np.ndarray
    takes: np.ndarray


class EpochOrder:
    """The order of an epoch's examples.

    Args:
        index: the index of the files.
        config: seed, batch size, shuffle buffer and length buckets.
        epoch: number of the epoch, from 0.
        in_order: whether only the order of the files is random and each file is read from beginning
            to end, as streams must be.

    Attributes:
        batches: number of batches of the epoch. Up to `batch_size - 1` examples are left out: a
            random number of them before the first batch and the others after the last.
        lanes: number of lanes.
        rows: number of rows that a batch takes from each lane.
        block: number of batches of a block; the last block may have fewer.
    """

    def __init__(
        self, index: ExampleIndex, config: TrainingConfig, epoch: int, *, in_order: bool = False
    ) -> None:
        self._index = index
        self._key = (config.seed, epoch)
        self._in_order = in_order
        rng = np.random.default_rng(self._key)
        self._files = rng.permutation(len(index.files))
        self._ends = np.cumsum(index.counts[self._files])
        self.lanes = 1
        if not in_order:
            self.lanes = math.gcd(config.batch_size, _MAX_LANES)
            while self.lanes > max(1, np.count_nonzero(index.counts)):
                self.lanes //= 2
        self.rows = config.batch_size // self.lanes
        self.block = 1 if in_order else max(1, config.shuffle_buffer // config.batch_size)
        examples = int(index.counts.sum())
        self.batches, left = divmod(examples, config.batch_size)
        self._first = 0 if in_order else int(rng.integers(left + 1))

    def segments(self, lane: int, block: int) -> Segments:
        """The parts of files that hold a lane from a block on."""
        origin = self._first + lane * self.batches * self.rows
        begin = origin + min(block * self.block, self.batches) * self.rows
        end = origin + self.batches * self.rows
        overlapping = slice(
            np.searchsorted(self._ends, begin, side="right"),
            np.searchsorted(self._ends, end, side="left") + 1,
        )
        files = self._files[overlapping]
        ends = self._ends[overlapping]
        starts = ends - self._index.counts[files]
        skips = np.maximum(begin - starts, 0)
        takes = np.minimum(ends, end) - starts - skips
        not_empty = takes > 0
        return Segments(files[not_empty], skips[not_empty], takes[not_empty])

    def lengths(self, block: int) -> np.ndarray:
        """Lengths of all examples of each lane from a block on, int32 `[lanes, examples]`."""
        begins = self._index.begins
        remaining = max(0, self.batches - block * self.block) * self.rows
        lengths = np.zeros((self.lanes, remaining), np.int32)
        for lane in range(self.lanes):
            filled = 0
            for file, skip, take in zip(
                *map(np.ndarray.tolist, self.segments(lane, block)), strict=True
            ):
                of_part = self._index.lengths[begins[file] + skip :][:take]
                lengths[lane, filled : filled + take] = of_part
                filled += take
        return lengths

    def positions(
        self,
        lane: tf.Tensor,
        block: tf.Tensor,
        examples: tf.Tensor,
        lengths: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Which of a lane's examples of a block go to which batch, in graph.

        A Python function instead of the graph made tf.data stall at times.

        Args:
            lane, block: int64 scalars.
            examples: number of the block's examples in each lane, an int scalar.
            lengths: the lengths of these examples, `[examples]`. With them the rows of a batch have
                similar lengths.

        Returns:
            Positions of the examples in the lane's block, int32 `[batches, rows]`.
        """
        if self._in_order:
            return tf.reshape(tf.range(examples), [-1, self.rows])
        shuffled = _permutation(examples, self._seed(block, lane))
        if lengths is None:
            return tf.reshape(shuffled, [-1, self.rows])
        by_length = tf.gather(shuffled, tf.argsort(tf.gather(lengths, shuffled), stable=True))
        by_length = tf.reshape(by_length, [-1, self.rows])
        return tf.gather(by_length, self._batch_order(block, tf.shape(by_length)[0]))

    def max_lengths(self, block: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The length of the longest example of each batch of a block, in graph.

        Args:
            block: an int64 scalar.
            lengths: the lengths of the block's examples, `[lanes, examples]`.

        Returns:
            int32 `[batches]`.
        """
        by_length = tf.reshape(tf.sort(lengths, axis=1), [self.lanes, -1, self.rows])
        batches = tf.shape(by_length)[1]
        return tf.gather(tf.reduce_max(by_length, axis=[0, 2]), self._batch_order(block, batches))

    def _batch_order(self, block: tf.Tensor, batches: tf.Tensor) -> tf.Tensor:
        """The random order of a block's batches after they were sorted by length."""
        return _permutation(batches, self._seed(block, tf.constant(self.lanes, tf.int64)))

    def _seed(self, block: tf.Tensor, lane: tf.Tensor) -> tf.Tensor:
        block_seed = tf.random.fold_in(tf.constant(self._key, tf.int64), block, alg=_RNG_ALGORITHM)
        return tf.random.fold_in(block_seed, lane, alg=_RNG_ALGORITHM)


def _permutation(number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random permutation of the numbers below `number`, drawn by a seed, int32 `[number]`."""
    keys = tf.random.stateless_uniform(
        [number], seed, minval=None, maxval=None, dtype=tf.int64, alg=_RNG_ALGORITHM
    )
    return tf.argsort(keys, stable=True)
