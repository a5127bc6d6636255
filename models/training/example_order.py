"""Which examples each batch of an epoch holds, computed from counts without opening a file.

The files of an epoch are permuted, and their examples, one file after the other, are cut into lanes
of equal length. Every batch takes the same number of rows from each lane. A lane is read from its
beginning to its end, in blocks that are shuffled. All draws are keyed by seed, epoch, block
and lane. So the start of batch n is known before anything is read, and a process reads only the
lanes that hold its rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.training.config import TrainingConfig
from models.training.example_index import ExampleIndex

_MOST_LANES = 8  # another number is another order
_DRAWN_BY = "philox"  # the same numbers on any processor


class Segments(NamedTuple):
    """Parts of files, one after the other.

    Attributes:
        files: index of each part's file, int64 `[parts]`.
        skips: examples before the part in its file, int64 `[parts]`.
        takes: examples of the part, int64 `[parts]`.
    """

    files: np.ndarray
    skips: np.ndarray
    takes: np.ndarray


class EpochOrder:
    """The order of an epoch's examples.

    Args:
        index: of the files.
        config: seed, batch size, shuffle buffer and length buckets.
        epoch: which epoch.
        in_order: whether files are read from beginning to end, in the order drawn and with nothing
            drawn inside them, as streams are.

    Attributes:
        batches: batches of the epoch. Up to `batch_size - 1` examples are left out, a random part
            of them before the first batch and the others after the last.
        lanes: lanes that a batch takes rows from.
        rows: rows that a batch takes from each lane.
        block: batches of a block; the last block may have fewer.
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
            self.lanes = math.gcd(config.batch_size, _MOST_LANES)
            while self.lanes > max(1, np.count_nonzero(index.counts)):
                self.lanes //= 2
        self.rows = config.batch_size // self.lanes
        self.block = 1 if in_order else max(1, config.shuffle_buffer // config.batch_size)
        examples = int(index.counts.sum())
        self.batches, left = divmod(examples, config.batch_size)
        self._first = 0 if in_order else int(rng.integers(left + 1))

    def segments(self, lane: int, block: int) -> Segments:
        """What is read of a lane from a block on."""
        origin = self._first + lane * self.batches * self.rows
        begin = origin + min(block * self.block, self.batches) * self.rows
        end = origin + self.batches * self.rows
        of_files = slice(
            np.searchsorted(self._ends, begin, side="right"),
            np.searchsorted(self._ends, end, side="left") + 1,
        )
        files = self._files[of_files]
        ends = self._ends[of_files]
        starts = ends - self._index.counts[files]
        skips = np.maximum(begin - starts, 0)
        takes = np.minimum(ends, end) - starts - skips
        some = takes > 0
        return Segments(files[some], skips[some], takes[some])

    def lengths(self, block: int) -> np.ndarray:
        """Real positions of all examples of each lane from a block on, `[lanes, examples]`."""
        begins = self._index.begins
        left = max(0, self.batches - block * self.block) * self.rows
        lengths = np.zeros((self.lanes, left), np.int32)
        for lane in range(self.lanes):
            at = 0
            for file, skip, take in zip(
                *map(np.ndarray.tolist, self.segments(lane, block)), strict=True
            ):
                of_file = self._index.lengths[begins[file] + skip :][:take]
                lengths[lane, at : at + take] = of_file
                at += take
        return lengths

    def places(
        self,
        lane: tf.Tensor,
        block: tf.Tensor,
        examples: tf.Tensor,
        lengths: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The positions of a block's rows among the examples that a lane has for the block.

        This is graph code: with a Python function in its place tf.data stalled at times.

        Args:
            lane, block: int64 scalars.
            examples: how many the block has in each lane, an int scalar.
            lengths: of these examples `[examples]`; with them the rows of a batch are of about one
                length.

        Returns:
            int32 `[batches, rows]`.
        """
        if self._in_order:
            return tf.reshape(tf.range(examples), [-1, self.rows])
        drawn = _drawn(examples, self._seed(block, lane))
        if lengths is None:
            return tf.reshape(drawn, [-1, self.rows])
        by_length = tf.gather(drawn, tf.argsort(tf.gather(lengths, drawn), stable=True))
        by_length = tf.reshape(by_length, [-1, self.rows])
        return tf.gather(by_length, self._turns(block, tf.shape(by_length)[0]))

    def longest(self, block: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Real positions of the longest example of each of a block's batches, in graph.

        Args:
            block: an int64 scalar.
            lengths: of the block's examples, `[lanes, examples]`.

        Returns:
            int32 `[batches]`.
        """
        ordered = tf.reshape(tf.sort(lengths, axis=1), [self.lanes, -1, self.rows])
        return tf.gather(
            tf.reduce_max(ordered, axis=[0, 2]), self._turns(block, tf.shape(ordered)[1])
        )

    def _turns(self, block: tf.Tensor, batches: tf.Tensor) -> tf.Tensor:
        """The order in which a block's batches, that were sorted by length, come."""
        return _drawn(batches, self._seed(block, tf.constant(self.lanes, tf.int64)))

    def _seed(self, block: tf.Tensor, lane: tf.Tensor) -> tf.Tensor:
        of_block = tf.random.fold_in(tf.constant(self._key, tf.int64), block, alg=_DRAWN_BY)
        return tf.random.fold_in(of_block, lane, alg=_DRAWN_BY)


def _drawn(number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A random permutation of the numbers below `number`, decided by the seed, int32."""
    keys = tf.random.stateless_uniform(
        [number], seed, minval=None, maxval=None, dtype=tf.int64, alg=_DRAWN_BY
    )
    return tf.argsort(keys, stable=True)
