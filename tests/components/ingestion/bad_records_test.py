"""Tests of counting malformed records: all are counted, few are kept."""

from __future__ import annotations

import random
from typing import Any

import pytest

from components.ingestion import bad_records
from components.ingestion.bad_records import CountMalformed
from components.readers.records import EMPTY_TEXT, Malformed


def combine(bundles: list[list[Malformed]]) -> Any:
    combiner = CountMalformed()
    accumulators = []
    for bundle in bundles:
        accumulator = combiner.create_accumulator()
        for record in bundle:
            accumulator = combiner.add_input(accumulator, record)
        accumulators.append(accumulator)
    return combiner.extract_output(combiner.merge_accumulators(accumulators))


def test_all_records_are_counted_and_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_records, "KEPT", 3)
    records = [Malformed(f"{n // 10}.txt", n, f"kind {n % 2}: x", "") for n in range(40)]
    records += [Malformed("9.txt", 1, EMPTY_TEXT, "")]
    expected = (41, 1, {"kind 0": 20, "kind 1": 20, EMPTY_TEXT: 1}, [(*r,) for r in records[:3]])
    rng = random.Random(0)
    for _ in range(20):
        rng.shuffle(records)
        ends = sorted(rng.choices(range(42), k=3))
        bundles = [records[a:b] for a, b in zip([0, *ends], [*ends, 41], strict=True)]
        assert combine(bundles) == expected
    assert combine([]) == (0, 0, {}, [])


def test_an_accumulator_holds_at_most_twice_the_kept_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bad_records, "KEPT", 3)
    combiner = CountMalformed()
    accumulator = combiner.create_accumulator()
    for number in range(100):
        accumulator = combiner.add_input(accumulator, Malformed("a", number, "x", ""))
        assert len(accumulator[3]) <= 6
