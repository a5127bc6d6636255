"""Which values of a field are frequent; all others are counted as "other".

A field such as `source` has a few values as a rule. Where each document has its own, no worker may
hold them all, and no page may show them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

OTHER = "other"
_LEAST_SHARE = 1_000


def not_rare(counts: Mapping[str, int]) -> dict[str, int]:
    """Of a shard's counts, those of at least a thousandth of it.

    A shard is a sample of the span, so what is rare in it is rare. Few names are left, whatever
    the span is like.
    """
    total = sum(counts.values())
    return {name: count for name, count in counts.items() if count * _LEAST_SHARE >= total}


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Adds up counts by name."""
    total = collections.Counter[str]()
    for more in counts:
        total.update(more)
    return dict(total)


def most_frequent(counts: Mapping[str, int], number: int) -> dict[str, int]:
    """The names with the highest counts; of equal ones, the first in the alphabet."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number])


def folded(counts: Mapping[str, int], number: int) -> dict[str, int]:
    """The most frequent names, and the sum of all others as "other"."""
    most = most_frequent(counts, number)
    rest = sum(counts.values()) - sum(most.values())
    return most | ({OTHER: most.get(OTHER, 0) + rest} if rest else {})
