"""Learns byte-pair merges from word counts (Sennrich et al., 2016), equal in every process.

The trainers of the `tokenizers` library accept only running text, so their time grows with the
number of occurrences. The time of this code grows with the number of distinct words. See
docs/decisions/0025-settings-and-counts.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

_SIDE = 1 << 31
"""The pair of symbols a and b is the number a · _SIDE + b, so pairs sort by their first symbol."""


def learn_merges(
    words: Mapping[str, int], alphabet: Sequence[str], room: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges the most frequent pair of neighbors until no pair occurs twice or the room is full.

    Of equally frequent pairs, the pair whose symbols have the lowest numbers is merged first, as in
    `tokenizers`. The order of the words does not matter.

    Args:
        words: words, none of them empty → number of occurrences.
        alphabet: all characters of `words`, distinct and sorted by code point.
        room: maximum number of entries, including the alphabet.

    Returns:
        The new entries, best first, without the alphabet; and the pairs that make them.
    """
    if not words:
        return [], []
    chains = _Chains(words, alphabet)
    counts = chains.counts
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    ids = {symbol: number for number, symbol in enumerate(alphabet)}
    names, merges = list(alphabet), []
    while queue and len(names) < room:
        count, pair = heapq.heappop(queue)
        current = counts.get(pair, 0)
        if current != -count:  # the count has fallen since the pair was queued
            if current:
                heapq.heappush(queue, (-current, pair))
            continue
        if current < 2:
            break
        a, b = divmod(pair, _SIDE)
        name = names[a] + names[b]
        merges.append((names[a], names[b]))
        number = ids.setdefault(name, len(names))  # another pair may have made the same entry
        if number == len(names):
            names.append(name)
        for increased in chains.merge(pair, number):
            heapq.heappush(queue, (-counts[increased], increased))
    return names[len(alphabet) :], merges


class _Chains:
    """All words as linked lists of symbols, with the number of occurrences of each pair.

    A position is an index into the concatenated characters of all words. It holds a symbol until
    that symbol is merged into its predecessor. A pair has the position of its first symbol.

    Args:
        words: words → number of occurrences.
        alphabet: characters, sorted by code point.

    Attributes:
        counts: pairs that occur → number of occurrences.
    """

    def __init__(self, words: Mapping[str, int], alphabet: Sequence[str]) -> None:
        letters = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        codes = np.array([ord(letter) for letter in alphabet], np.uint32)
        # The position after the last means "no neighbor", at both ends of a word.
        self._end = len(letters)
        self._symbols = np.append(np.searchsorted(codes, letters), -1)
        self._weights = np.repeat(np.fromiter(words.values(), np.int64, len(words)), lengths)
        ends = np.cumsum(lengths)
        self._next = np.arange(1, self._end + 2, dtype=np.int32)
        self._next[ends - 1] = self._end
        self._before = np.arange(-1, self._end, dtype=np.int32)
        self._before[ends - lengths] = self._end
        self.counts: dict[int, int] = {}
        self._positions: dict[int, list[np.ndarray]] = {}
        positions = np.flatnonzero(self._next[:-1] < self._end).astype(np.int32)
        self._add(positions, self._pairs(positions))

    def merge(self, pair: int, number: int) -> list[int]:
        """Replaces each occurrence of a pair by one symbol, in each word from left to right.

        Args:
            pair: the pair.
            number: number of the new symbol.

        Returns:
            The pairs whose counts have increased.
        """
        first, second = divmod(pair, _SIDE)
        positions = np.concatenate(self._positions[pair])
        # Other merges have changed some of the positions that once had the pair.
        positions = positions[self._symbols[positions] == first]
        positions = positions[self._symbols[self._next[positions]] == second]
        if first == second:
            positions = self._without_overlaps(np.sort(positions))
        seconds = self._next[positions]
        after = self._next[seconds]
        old = self._with_successor(self._before[positions], positions, seconds)
        old_pairs = self._pairs(old)
        self._symbols[positions] = number
        self._symbols[seconds] = -1
        self._next[positions] = after
        self._before[after] = positions
        self._remove(old, old_pairs)
        new = self._with_successor(self._before[positions], positions)
        return self._add(new, self._pairs(new))

    def _pairs(self, positions: np.ndarray) -> np.ndarray:
        """The pairs that begin at these positions."""
        return self._symbols[positions] * _SIDE + self._symbols[self._next[positions]]

    def _with_successor(self, *positions: np.ndarray) -> np.ndarray:
        """The distinct positions that have a next symbol in their word."""
        distinct = np.unique(np.concatenate(positions))
        return distinct[self._next[distinct] < self._end]

    def _without_overlaps(self, positions: np.ndarray) -> np.ndarray:
        """Every other position of each run, for pairs of two equal symbols, which overlap in runs.

        Args:
            positions: the positions of the pair, sorted.
        """
        begins = np.append(True, self._next[positions[:-1]] != positions[1:])
        numbers = np.arange(len(positions))
        run_starts = np.maximum.accumulate(np.where(begins, numbers, 0))
        return positions[(numbers - run_starts) % 2 == 0]

    def _add(self, positions: np.ndarray, pairs: np.ndarray) -> list[int]:
        """Counts the pairs at these positions; returns the distinct pairs."""
        order, bounds = _groups(pairs)
        positions = positions[order]
        sums = np.add.reduceat(self._weights[positions], bounds[:-1]).tolist() if len(order) else []
        distinct = pairs[order[bounds[:-1]]].tolist()
        ends = bounds.tolist()
        for group, (pair, count) in enumerate(zip(distinct, sums, strict=True)):
            self.counts[pair] = self.counts.get(pair, 0) + count
            self._positions.setdefault(pair, []).append(positions[ends[group] : ends[group + 1]])
        return distinct

    def _remove(self, positions: np.ndarray, pairs: np.ndarray) -> None:
        """Subtracts the pairs that were at these positions from the counts."""
        order, bounds = _groups(pairs)
        sums = np.add.reduceat(self._weights[positions[order]], bounds[:-1]).tolist()
        for pair, count in zip(pairs[order[bounds[:-1]]].tolist(), sums, strict=True):
            self.counts[pair] -= count
            if not self.counts[pair]:
                del self.counts[pair], self._positions[pair]


def _groups(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order that makes equal pairs adjacent, and the bounds of their groups.

    Args:
        pairs: `[n]`.

    Returns:
        The order `[n]`; and where each group begins, followed by n, `[groups + 1]`.
    """
    order = np.argsort(pairs, kind="stable")
    ordered = pairs[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    begin = [0] if len(pairs) else []
    return order, np.concatenate([begin, changes, [len(pairs)]]).astype(np.int64)
