"""Sparse counts of integer keys, added up in bounded memory.

The result does not depend on the order in which counts are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_AT_ONCE = 1 << 22  # keys sorted at once: 32 MiB
_STRIDE = 1 << 10  # of the sample of keys that determines the ranges of a merge


class Counts(NamedTuple):
    """How often each key occurs.

    Attributes:
        keys: the keys that occur, ascending, int64 `[keys]`, none below 0.
        counts: occurrences of each key, int64 `[keys]`.
    """

    keys: np.ndarray
    counts: np.ndarray

    def dense(self, size: int) -> np.ndarray:
        """The occurrences of 0 to `size - 1`, int64 `[size]`."""
        table = np.zeros(size, np.int64)
        table[self.keys] = self.counts
        return table


class Counting:
    """Counts keys that arrive in blocks.

    Memory holds the distinct keys and at most some millions of unsorted keys. Sorted runs are
    merged only with runs of similar length, so that each key is merged log(blocks) times.
    """

    def __init__(self) -> None:
        self._waiting: list[np.ndarray] = []
        self._runs: list[Counts] = []

    def add(self, keys: np.ndarray) -> None:
        """Counts keys, int64 of any shape, none below 0."""
        self._waiting.append(np.ravel(keys).astype(np.int64))
        if sum(map(len, self._waiting)) >= _AT_ONCE:
            self._sort()

    def counts(self) -> Counts:
        """The counts of all keys so far."""
        self._sort()
        self._runs = [merge(self._runs)]
        return self._runs[0]

    def _sort(self) -> None:
        if not self._waiting:
            return
        run = Counts(*np.unique(np.concatenate(self._waiting), return_counts=True))
        self._waiting.clear()
        while self._runs and len(self._runs[-1].keys) < 2 * len(run.keys):
            run = merge([self._runs.pop(), run])
        self._runs.append(run)


def merge(parts: Sequence[Counts]) -> Counts:
    """The sums of several counts.

    Merges the keys range by range. Apart from the result, memory holds some millions of keys,
    however many the parts have: they may be memory-mapped files.
    """
    sample = np.sort(np.concatenate([np.zeros(0, np.int64), *(p.keys[::_STRIDE] for p in parts)]))
    bounds = np.unique(sample[_AT_ONCE // _STRIDE :: _AT_ONCE // _STRIDE])
    edges = [[0, *np.searchsorted(p.keys, bounds).tolist(), len(p.keys)] for p in parts]
    summed = [
        _summed(
            np.concatenate([p.keys[e[i] : e[i + 1]] for p, e in zip(parts, edges, strict=True)]),
            np.concatenate([p.counts[e[i] : e[i + 1]] for p, e in zip(parts, edges, strict=True)]),
        )
        for i in range(len(bounds) + 1)
        if parts
    ]
    nothing = Counts(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Counts(*map(np.concatenate, zip(nothing, *summed, strict=True)))


def _summed(keys: np.ndarray, counts: np.ndarray) -> Counts:
    order = np.argsort(keys, kind="stable")  # a stable sort merges ascending runs
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return Counts(keys[first], np.add.reduceat(counts, first) if len(first) else counts)
