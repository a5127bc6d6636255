"""Blocks of documents: their boundaries, the names of their units, and what is resampled."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation.resampling_units import (
    MIN_UNITS,
    PARTS,
    blocks,
    sums_to_resample,
    unit_names,
    unit_number,
)


def places(tokens: list[int], window: int) -> list[list[int]]:
    return [list(block) for block in blocks(tokens, window)]


@pytest.mark.parametrize(
    ("tokens", "window", "expected"),
    [
        ([], 8, []),
        ([5], 8, [[0]]),
        ([0], 8, [[0]]),
        ([100, 100, 100, 100], 8, [[0, 1], [2, 3]]),  # two documents, so that each has a partner
        (
            [100, 100, 100, 100, 100],
            8,
            [[0, 1], [2, 3, 4]],
        ),  # the last one has no partner
        ([100, 0, 100, 0, 100, 100], 8, [[0, 1, 2], [3, 4, 5]]),  # an empty document is no partner
        ([100, 0, 0], 8, [[0, 1, 2]]),
    ],
)
def test_a_block_holds_two_documents_with_text(
    tokens: list[int], window: int, expected: list[list[int]]
) -> None:
    assert places(tokens, window) == expected


def test_a_block_of_short_documents_holds_sixteen_windows() -> None:
    sizes = {len(block) for block in places([10] * 100_000, 100)}
    assert sizes == {160}


def test_a_short_text_is_cut_into_as_many_as_64_blocks() -> None:
    """16 windows are 16,000 tokens, and the whole text has 6,400."""
    assert len(places([10] * 640, 1_000)) == 64


def test_each_document_is_in_one_block() -> None:
    tokens = np.random.default_rng(0).integers(0, 50, 1_000).tolist()
    assert [place for block in blocks(tokens, 20) for place in block] == list(range(1_000))


def test_examples_are_assigned_to_the_parts_of_their_block_in_turn() -> None:
    names = unit_names(3, 12, 15, 3)
    assert names.shape == (3, 1)
    assert names[:, 0].tolist() == [b"00003-00012-15", b"00003-00012-00", b"00003-00012-01"]
    assert unit_names(0, 0, 0, 0).shape == (0, 1)


def test_a_unit_number_encodes_block_and_part() -> None:
    one, two = unit_number(b"00003-00012-00"), unit_number(b"00003-00012-15")
    assert (one % PARTS, two % PARTS) == (0, 15)
    assert one // PARTS == two // PARTS < 1_024
    assert unit_number(b"00003-00013-00") // PARTS != one // PARTS


def test_parts_are_resampled_only_if_there_are_fewer_than_five_blocks() -> None:
    many = {block * PARTS + part: np.array([1.0]) for block in range(MIN_UNITS) for part in (0, 1)}
    units, documents = sums_to_resample(many)
    assert (units.tolist(), documents) == ([[2.0]] * 5, True)
    few = {number: sums for number, sums in many.items() if number < 4 * PARTS}
    units, documents = sums_to_resample(few)
    assert (units.tolist(), documents) == ([[1.0]] * 8, False)
