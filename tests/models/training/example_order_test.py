"""Tests of the order of examples: each comes once, at a position computed from counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.config import TrainingConfig
from models.training.example_index import ExampleIndex
from models.training.example_order import EpochOrder, Segments

COUNTS = (20, 0, 21, 7, 33)


def index_of(counts: tuple[int, ...] = COUNTS) -> ExampleIndex:
    """Files whose examples have lengths from 1 to 9."""
    numbers = np.array(counts, np.int64)
    lengths = np.random.default_rng(0).integers(1, 10, numbers.sum()).astype(np.int32)
    return ExampleIndex(
        [f"{n}.gz" for n in range(len(counts))], numbers, np.cumsum(numbers) - numbers, lengths
    )


def read(index: ExampleIndex, segments: Segments) -> np.ndarray:
    """The numbers of the examples that segments hold, counted over all files."""
    parts = [
        index.begins[file] + skip + np.arange(take)
        for file, skip, take in zip(*segments, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def blocks(order: EpochOrder, index: ExampleIndex) -> Iterator[tuple[int, np.ndarray]]:
    """Each block's number and the examples that are read for it, `[lanes, examples]`."""
    size = order.block * order.rows
    lanes = [read(index, order.segments(lane, 0)) for lane in range(order.lanes)]
    for block in range(-(-order.batches // order.block)):
        yield block, np.stack([lane[block * size : (block + 1) * size] for lane in lanes])


def batches(order: EpochOrder, index: ExampleIndex, *, by_length: bool = False) -> np.ndarray:
    """The numbers of the examples of each batch, int64 `[batches, rows]`."""
    found = [np.zeros((0, order.lanes * order.rows), np.int64)]
    for block, lanes in blocks(order, index):
        rows = []
        for lane, examples in enumerate(lanes):
            lengths = index.lengths[examples] if by_length else None
            positions = order.positions(np.int64(lane), np.int64(block), len(examples), lengths)
            rows.append(examples[positions.numpy()])
        found.append(np.concatenate(rows, axis=1))
    return np.concatenate(found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=9),
    st.integers(1, 12),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_an_epoch_has_every_example_at_most_once(
    counts: list[int], batch_size: int, buffer: int, by_length: bool, in_order: bool
) -> None:
    index = index_of(tuple(counts))
    config = TrainingConfig(batch_size=batch_size, shuffle_buffer=buffer)
    order = EpochOrder(index, config, 0, in_order=in_order)
    found = batches(order, index, by_length=by_length)
    assert found.shape == (sum(counts) // batch_size, batch_size)
    assert len(np.unique(found)) == found.size


def test_segments_from_a_block_on_are_the_rest_of_the_lane() -> None:
    index = index_of()
    order = EpochOrder(index, TrainingConfig(batch_size=4, shuffle_buffer=8), 2)
    assert (order.lanes, order.rows, order.block, order.batches) == (4, 1, 2, 20)
    whole = [read(index, order.segments(lane, 0)) for lane in range(4)]
    for block in range(12):
        lengths = order.lengths(block)
        for lane in range(4):
            rest = whole[lane][2 * block :]
            np.testing.assert_array_equal(read(index, order.segments(lane, block)), rest)
            np.testing.assert_array_equal(lengths[lane], index.lengths[rest])


def test_each_seed_and_epoch_has_its_own_order() -> None:
    index = index_of()
    orders = [
        batches(EpochOrder(index, TrainingConfig(batch_size=4, seed=seed), epoch), index)
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[3])


def test_other_examples_are_left_out_in_each_epoch() -> None:
    index = index_of((11,))
    left = [
        set(range(11))
        - set(batches(EpochOrder(index, TrainingConfig(batch_size=8), e), index).flat)
        for e in range(30)
    ]
    assert {len(each) for each in left} == {3}
    assert {0, 10} <= set.union(*left)


def test_a_batch_has_equally_many_rows_of_each_lane_and_a_file_is_in_few_lanes() -> None:
    index = index_of((64, 64, 64, 64))
    order = EpochOrder(index, TrainingConfig(batch_size=8, shuffle_buffer=32), 0)
    assert (order.lanes, order.rows) == (4, 2)
    for lane in range(4):
        assert len(order.segments(lane, 0).files) == 1
    assert np.all(np.diff(np.sort(batches(order, index) // 64, axis=1)[:, ::2]) == 1)


def test_streams_are_read_in_order_from_the_beginning() -> None:
    index = index_of((8, 4, 8))
    order = EpochOrder(index, TrainingConfig(batch_size=4), 3, in_order=True)
    files = np.random.default_rng((0, 3)).permutation(3)
    begins = {0: range(8), 1: range(8, 12), 2: range(12, 20)}
    expected = [number for file in files.tolist() for number in begins[file]]
    assert batches(order, index).ravel().tolist() == expected


def test_batches_by_length_have_similar_lengths_that_are_known_before_reading() -> None:
    index = index_of((300, 200, 268))
    config = TrainingConfig(batch_size=16, shuffle_buffer=256, length_buckets=3)
    order = EpochOrder(index, config, 0)
    lengths = index.lengths[batches(order, index, by_length=True)]
    longest = np.concatenate(
        [order.max_lengths(np.int64(n), index.lengths[block]) for n, block in blocks(order, index)]
    )
    np.testing.assert_array_equal(lengths.max(axis=1), longest)
    # Of 256 examples sorted by length, from 1 to 9, 16 in a row have one or two lengths.
    assert np.mean(np.ptp(lengths, axis=1)) < 2.5
    assert np.any(np.diff(longest) < 0)  # not from short to long
