"""Counts of the frequent values of a field; rare values are counted together as "other".

A field such as `source` usually has few values. If every document has a different one, no worker
can hold them all in memory, and no page can show them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

OTHER = "other"
_RARE = 1_000  # a value is rare in a shard if less than one in so many documents has it


def drop_rare(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a shard without those below a thousandth of the total.

    A shard is a random sample of the span, so values that are rare in it are rare in the span. At
    most a thousand values are left.
    """
    total = sum(counts.values())
    return {name: count for name, count in counts.items() if count * _RARE >= total}


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up counts by name."""
    total = collections.Counter[str]()
    for more in counts:
        total.update(more)
    return dict(total)


def most_frequent(counts: Mapping[str, int], number: int) -> dict[str, int]:
    """The `number` names with the highest counts; ties are broken alphabetically."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number])


def with_rest_as_other(counts: Mapping[str, int], number: int) -> dict[str, int]:
    """The `number` most frequent names, and the sum of all others as "other"."""
    most = most_frequent(counts, number)
    rest = sum(counts.values()) - sum(most.values())
    return most | ({OTHER: most.get(OTHER, 0) + rest} if rest else {})
