"""Counts equal those of `collections.Counter`, however they are put together."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import counts
from models.counts import Counting, Counts, merge

BLOCKS = st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12)


def _expected(blocks: list[list[int]]) -> list[tuple[int, int]]:
    return sorted(collections.Counter(key for block in blocks for key in block).items())


def _pairs(found: Counts) -> list[tuple[int, int]]:
    assert found.keys.dtype == found.counts.dtype == np.int64
    return list(zip(found.keys.tolist(), found.counts.tolist(), strict=True))


def _counted(blocks: list[list[int]]) -> Counts:
    counting = Counting()
    for block in blocks:
        counting.add(np.array(block, np.int64))
    return counting.counts()


@pytest.fixture(autouse=True, params=[(4, 2), (1 << 22, 1 << 10)])
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorts four keys at once, so that there are many runs and ranges; and all keys at once."""
    monkeypatch.setattr(counts, "_AT_ONCE", request.param[0])
    monkeypatch.setattr(counts, "_STRIDE", request.param[1])


@settings(deadline=None)
@given(BLOCKS)
def test_blocks_are_counted(blocks: list[list[int]]) -> None:
    assert _pairs(_counted(blocks)) == _expected(blocks)


@settings(deadline=None)
@given(BLOCKS, st.integers(0, 12))
def test_counts_of_parts_are_added_in_any_order(blocks: list[list[int]], cut: int) -> None:
    parts = [_counted(blocks[:cut]), _counted(blocks[cut:])]
    assert _pairs(merge(parts)) == _pairs(merge(parts[::-1])) == _expected(blocks)


def test_without_keys_there_are_no_counts() -> None:
    assert _pairs(merge([])) == _pairs(Counting().counts()) == []


def test_large_keys_are_distinguished() -> None:
    assert _pairs(_counted([[2**62, 2**62 - 1], [2**62]])) == [(2**62 - 1, 1), (2**62, 2)]


def test_dense_counts_have_an_entry_for_each_key() -> None:
    assert _counted([[3, 1], [3]]).dense(5).tolist() == [0, 1, 0, 2, 0]


def test_counting_continues_after_counts_were_read() -> None:
    counting = Counting()
    counting.add(np.array([5]))
    assert _pairs(counting.counts()) == [(5, 1)]
    counting.add(np.array([[5, 2]]))
    assert _pairs(counting.counts()) == [(2, 1), (5, 2)]


def test_a_key_is_not_merged_again_with_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 blocks of distinct keys each key is merged about log2(64) times, not 64 times."""
    monkeypatch.setattr(counts, "_AT_ONCE", 4)
    monkeypatch.setattr(counts, "_STRIDE", 2)
    merged = 0
    original_merge = counts.merge

    def counting_merge(parts: list[Counts]) -> Counts:
        nonlocal merged
        merged += sum(len(part.keys) for part in parts)
        return original_merge(parts)

    monkeypatch.setattr(counts, "merge", counting_merge)
    found = _counted([list(range(4 * block, 4 * block + 4)) for block in range(64)])
    assert len(found.keys) == 256
    assert merged <= 256 * 8
