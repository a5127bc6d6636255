"""Packed full sentences: one segment, filled with whole pieces across the ends of documents.

Follows "FULL-SENTENCES" of Liu et al., 2019, "RoBERTa": pieces are added until the next piece does
not fit, and a separator is between two documents.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from models.bert.pairs import Corpus


@dataclasses.dataclass(frozen=True)
class Packed:
    """Examples as spans of one array.

    Attributes:
        tokens: int32 `[tokens]`, all documents in random order, a separator after each.
        begins: bool `[tokens]`, tokens that begin a word; a separator does.
        document: int64 `[examples]`, index of the document that an example begins in.
        start, length: int64 `[examples]`, in tokens; no example begins or ends with a separator.
    """

    tokens: np.ndarray
    begins: np.ndarray
    document: np.ndarray
    start: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


class _Pieces(NamedTuple):
    """The pieces of all documents in random order, as spans of `tokens`."""

    tokens: np.ndarray
    begins: np.ndarray
    edges: list[int]
    """Where each piece begins, and the end. The separator belongs to a document's last piece."""
    last: list[bool]
    """Whether a piece is the last of its document."""
    document: list[int]
    """The document of each piece."""


def pack(
    corpus: Corpus,
    *,
    max_tokens: int,
    short_seq_prob: float,
    separator: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Packed:
    """Packs every document once, in random order.

    A piece of more than `max_tokens` is cut into pieces of that length and tallied as `cut_pieces`.

    Args:
        max_tokens: tokens of an example, separators included.
        short_seq_prob: share of examples that aim at a random shorter length.
        separator: id of the token between documents.
        rng: the only source of randomness.
    """
    pieces = _pieces(corpus, max_tokens, separator, rng, tally)
    edges, last = pieces.edges, pieces.last
    rows = []
    first, count = 0, len(last)
    while first < count:
        target = max_tokens
        if rng.random() < short_seq_prob:
            target = 2 + int(rng.random() * (max_tokens - 1))
        limit = edges[first] + target
        end = bisect.bisect_right(edges, limit, first + 1) - 1
        if end < count and last[end] and edges[end + 1] - 1 <= limit:
            end += 1  # fits without its separator
        end = max(end, first + 1)  # a piece that is longer than a short target
        length = edges[end] - edges[first] - last[end - 1]
        rows.append((pieces.document[first], edges[first], length))
        first = end
    columns = np.asarray(rows, np.int64).reshape(-1, 3).T
    return Packed(pieces.tokens, pieces.begins, *columns)


def _pieces(
    corpus: Corpus,
    max_tokens: int,
    separator: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> _Pieces:
    order = rng.permutation(len(corpus.sources))
    tokens: list[np.ndarray] = [np.zeros(0, np.int32)]
    begins: list[np.ndarray] = [np.zeros(0, np.bool_)]
    edges, last, owners = [0], [], []
    start = 0
    for document in order.tolist():
        bounds = corpus.edges[corpus.first[document] : corpus.first[document + 1] + 1].tolist()
        tokens += [corpus.tokens[bounds[0] : bounds[-1]], np.array([separator], np.int32)]
        begins += [corpus.begins[bounds[0] : bounds[-1]], np.ones(1, np.bool_)]
        for begin, end in itertools.pairwise(bounds):
            tally["cut_pieces"] += end - begin > max_tokens
            cuts = [*range(begin + max_tokens, end, max_tokens), end]
            edges += [start + cut - bounds[0] for cut in cuts]
            last += [False] * len(cuts)
            owners += [document] * len(cuts)
        start += bounds[-1] - bounds[0] + 1
        edges[-1], last[-1] = start, True
    return _Pieces(np.concatenate(tokens), np.concatenate(begins), edges, last, owners)
