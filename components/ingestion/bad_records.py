"""Beam combiner that counts all malformed records and keeps the first ones."""

import collections
from typing import Any

import apache_beam as beam

from components.readers.records import Malformed

KEPT = 10_000
"""Malformed records that are kept with file, line and beginning; all are counted."""


class CountMalformed(beam.CombineFn):
    """Malformed records → their counts, and the first `KEPT` of them by file and line.

    The accumulator is a tuple: number of records, number of empty records, counts by kind, and the
    first records. It holds at most twice `KEPT` records, and the result does not depend on the
    order of the records.
    """

    def create_accumulator(self) -> Any:
        """The accumulator of no record."""
        return 0, 0, collections.Counter[str](), []

    def add_input(self, accumulator: Any, record: Malformed) -> Any:
        """Adds one record."""
        count, empty, kinds, first = accumulator
        kinds[record.kind] += 1
        first.append(tuple(record))
        return count + 1, empty + record.empty, kinds, _first(first, 2 * KEPT)

    def merge_accumulators(self, accumulators: Any) -> Any:
        """Adds up several accumulators."""
        count, empty, kinds, first = self.create_accumulator()
        for more, more_empty, more_kinds, others in accumulators:
            count, empty, kinds = count + more, empty + more_empty, kinds + more_kinds
            first = _first(first + others, KEPT)
        return count, empty, kinds, first

    def extract_output(self, accumulator: Any) -> Any:
        """The accumulator with its first records sorted."""
        count, empty, kinds, first = accumulator
        return count, empty, kinds, _first(first, 0)


def _first(records: list[tuple[str, int, str, str]], limit: int) -> list[tuple[str, int, str, str]]:
    """All records if there are at most `limit`; else the first `KEPT`, sorted."""
    return sorted(records)[:KEPT] if len(records) > limit else records
