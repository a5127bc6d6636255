"""Counts malformed records and keeps the first ones, however many there are."""

import collections
from typing import Any

import apache_beam as beam

from components.readers.records import Malformed

KEPT = 10_000
"""Malformed records that are kept with file, line and beginning; all are counted."""


class CountBad(beam.CombineFn):
    """Malformed records → their counts, and the first `KEPT` of them by file and line.

    The accumulator is a tuple: how many, how many of them empty, counts by kind, the first ones.
    It holds twice `KEPT` records at most, and the result does not depend on their order.
    """

    def create_accumulator(self) -> Any:
        """Nothing."""
        return 0, 0, collections.Counter[str](), []

    def add_input(self, accumulator: Any, record: Malformed) -> Any:
        """One more record."""
        count, empty, kinds, first = accumulator
        kinds[record.kind] += 1
        first.append(tuple(record))
        return count + 1, empty + record.empty, kinds, _first(first, 2 * KEPT)

    def merge_accumulators(self, accumulators: Any) -> Any:
        """All of several."""
        count, empty, kinds, first = self.create_accumulator()
        for more, more_empty, more_kinds, others in accumulators:
            count, empty, kinds = count + more, empty + more_empty, kinds + more_kinds
            first = _first(first + others, KEPT)
        return count, empty, kinds, first

    def extract_output(self, accumulator: Any) -> Any:
        """The same, its first records in order."""
        count, empty, kinds, first = accumulator
        return count, empty, kinds, _first(first, 0)


def _first(records: list[tuple[str, int, str, str]], most: int) -> list[tuple[str, int, str, str]]:
    """The first ones in order if there are more than `most`, else all."""
    return sorted(records)[:KEPT] if len(records) > most else records
