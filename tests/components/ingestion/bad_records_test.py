"""Tests of counting malformed records: all are counted, few are kept."""

from __future__ import annotations

import random
from typing import Any

import pytest

from components.ingestion import bad_records
from components.ingestion.bad_records import CountMalformed
from components.readers.records import EMPTY_TEXT, Malformed


def combine(bundles: list[list[Malformed]]) -> Any:
    combining = CountMalformed()
    accumulators = []
    for bundle in bundles:
        accumulator = combining.create_accumulator()
        for record in bundle:
            accumulator = combining.add_input(accumulator, record)
        accumulators.append(accumulator)
    return combining.extract_output(combining.merge_accumulators(accumulators))


def test_counts_are_of_all_and_the_first_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_records, "KEPT", 3)
    records = [Malformed(f"{n // 10}.txt", n, f"kind {n % 2}: x", "") for n in range(40)]
    records += [Malformed("9.txt", 1, EMPTY_TEXT, "")]
    expected = (41, 1, {"kind 0": 20, "kind 1": 20, EMPTY_TEXT: 1}, [(*r,) for r in records[:3]])
    draw = random.Random(0)
    for _ in range(20):
        draw.shuffle(records)
        cut = sorted(draw.choices(range(42), k=3))
        parts = [records[a:b] for a, b in zip([0, *cut], [*cut, 41], strict=True)]
        assert combine(parts) == expected
    assert combine([]) == (0, 0, {}, [])


def test_no_more_than_twice_as_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_records, "KEPT", 3)
    combining = CountMalformed()
    accumulator = combining.create_accumulator()
    for number in range(100):
        accumulator = combining.add_input(accumulator, Malformed("a", number, "x", ""))
        assert len(accumulator[3]) <= 6
