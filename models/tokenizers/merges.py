"""Byte-pair merges learned from word counts (Sennrich et al., 2016), the same in every process.

The trainers of the `tokenizers` library take running text only, so their work grows with the
occurrences; this one's grows with the distinct words. See
docs/decisions/0025-settings-and-counts.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

_SIDE = 1 << 31
"""A pair of symbols a, b is the number a · _SIDE + b, so pairs sort by their first symbol."""


def learn_merges(
    words: Mapping[str, int], alphabet: Sequence[str], room: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges neighbours, the most frequent pair first, until none occurs twice or the room is full.

    Of equally frequent pairs the one that comes first by the places of its parts, as in
    `tokenizers`. The order of the words makes no difference.

    Args:
        words: occurrences. No word is empty.
        alphabet: distinct characters by code point, all of those in `words`.
        room: entries to learn at most, the alphabet included.

    Returns:
        The entries made, best first, without the alphabet; and the pairs that make them.
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
        now = counts.get(pair, 0)
        if now != -count:  # the count has fallen since it was queued
            if now:
                heapq.heappush(queue, (-now, pair))
            continue
        if now < 2:
            break
        a, b = divmod(pair, _SIDE)
        name = names[a] + names[b]
        merges.append((names[a], names[b]))
        number = ids.setdefault(name, len(names))  # another pair may have made it before
        if number == len(names):
            names.append(name)
        for risen in chains.merge(pair, number):
            heapq.heappush(queue, (-counts[risen], risen))
    return names[len(alphabet) :], merges


class _Chains:
    """All words as chains of symbols, with the occurrences of each pair of neighbours.

    A place is the index of a symbol among all words' characters, and keeps its symbol until that
    is merged into the one before. A pair has the place of its first symbol.

    Args:
        words: occurrences.
        alphabet: characters by code point.

    Attributes:
        counts: occurrences of each pair that there is.
    """

    def __init__(self, words: Mapping[str, int], alphabet: Sequence[str]) -> None:
        letters = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        known = np.array([ord(letter) for letter in alphabet], np.uint32)
        # One more place, after the last, means "no neighbour" at either end of a word.
        self._end = len(letters)
        self._symbols = np.append(np.searchsorted(known, letters), -1)
        self._weights = np.repeat(np.fromiter(words.values(), np.int64, len(words)), lengths)
        ends = np.cumsum(lengths)
        self._next = np.arange(1, self._end + 2, dtype=np.int32)
        self._next[ends - 1] = self._end
        self._before = np.arange(-1, self._end, dtype=np.int32)
        self._before[ends - lengths] = self._end
        self.counts: dict[int, int] = {}
        self._places: dict[int, list[np.ndarray]] = {}
        places = np.flatnonzero(self._next[:-1] < self._end).astype(np.int32)
        self._add(places, self._pairs(places))

    def merge(self, pair: int, number: int) -> list[int]:
        """Makes one symbol of each occurrence of a pair, in each word from left to right.

        Args:
            pair: the pair.
            number: the new symbol's.

        Returns:
            The pairs that there are more of now.
        """
        first, second = divmod(pair, _SIDE)
        places = np.concatenate(self._places[pair])
        # Of the places that had the pair once, some lost it to other merges.
        places = places[self._symbols[places] == first]
        places = places[self._symbols[self._next[places]] == second]
        if first == second:
            places = self._apart(np.sort(places))
        seconds = self._next[places]
        after = self._next[seconds]
        gone = self._linked(self._before[places], places, seconds)
        pairs = self._pairs(gone)
        self._symbols[places] = number
        self._symbols[seconds] = -1
        self._next[places] = after
        self._before[after] = places
        self._remove(gone, pairs)
        come = self._linked(self._before[places], places)
        return self._add(come, self._pairs(come))

    def _pairs(self, places: np.ndarray) -> np.ndarray:
        return self._symbols[places] * _SIDE + self._symbols[self._next[places]]

    def _linked(self, *places: np.ndarray) -> np.ndarray:
        """Distinct places, those that have a neighbour behind them."""
        distinct = np.unique(np.concatenate(places))
        return distinct[self._next[distinct] < self._end]

    def _apart(self, places: np.ndarray) -> np.ndarray:
        """Of places whose symbol is the same as the next one, those that overlap no other."""
        begins = np.append(True, self._next[places[:-1]] != places[1:])
        numbers = np.arange(len(places))
        return places[(numbers - np.maximum.accumulate(np.where(begins, numbers, 0))) % 2 == 0]

    def _add(self, places: np.ndarray, pairs: np.ndarray) -> list[int]:
        order, bounds = _groups(pairs)
        places = places[order]
        sums = np.add.reduceat(self._weights[places], bounds[:-1]).tolist() if len(order) else []
        found = pairs[order[bounds[:-1]]].tolist()
        cuts = bounds.tolist()
        for number, (pair, count) in enumerate(zip(found, sums, strict=True)):
            self.counts[pair] = self.counts.get(pair, 0) + count
            self._places.setdefault(pair, []).append(places[cuts[number] : cuts[number + 1]])
        return found

    def _remove(self, places: np.ndarray, pairs: np.ndarray) -> None:
        order, bounds = _groups(pairs)
        sums = np.add.reduceat(self._weights[places[order]], bounds[:-1]).tolist()
        for pair, count in zip(pairs[order[bounds[:-1]]].tolist(), sums, strict=True):
            self.counts[pair] -= count
            if not self.counts[pair]:
                del self.counts[pair], self._places[pair]


def _groups(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order that puts equal pairs side by side, and where each group begins, and the end."""
    order = np.argsort(pairs, kind="stable")
    ordered = pairs[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    begin = [0] if len(pairs) else []
    return order, np.concatenate([begin, changes, [len(pairs)]]).astype(np.int64)
