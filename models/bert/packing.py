"""Packed full sentences: one segment, filled with whole pieces across the ends of documents.

Follows "FULL-SENTENCES" of Liu et al., 2019, "RoBERTa": pieces are taken one after the other until
the next one does not fit, and where a document ends a separator stands before the next one.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import itertools

import numpy as np

from models.bert.pairs import Corpus


@dataclasses.dataclass(frozen=True)
class Packed:
    """Examples as spans of one array.

    Attributes:
        tokens: int32 `[tokens]`, all documents in the order drawn, a separator after each.
        begins: bool `[tokens]`, those that begin a word; a separator does.
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


def pack(
    corpus: Corpus,
    *,
    max_tokens: int,
    short_share: float,
    separator: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Packed:
    """Packs every document once, in an order that is drawn.

    A piece of more than `max_tokens` is cut into pieces of that length and tallied as `cut_pieces`.

    Args:
        max_tokens: of an example, separators included.
        short_share: share of examples that aim at a random shorter length.
        separator: id of what stands between documents.
        rng: the only source of chance.
    """
    order = rng.permutation(len(corpus.sources))
    tokens: list[np.ndarray] = [np.zeros(0, np.int32)]
    begins: list[np.ndarray] = [np.zeros(0, np.bool_)]
    edges, last, owners = [0], [], []  # of pieces: where each begins, if it is its document's last
    at = 0
    for document in order.tolist():
        own = corpus.edges[corpus.first[document] : corpus.first[document + 1] + 1].tolist()
        tokens += [corpus.tokens[own[0] : own[-1]], np.array([separator], np.int32)]
        begins += [corpus.begins[own[0] : own[-1]], np.ones(1, np.bool_)]
        for begin, end in itertools.pairwise(own):
            tally["cut_pieces"] += end - begin > max_tokens
            cuts = [*range(begin + max_tokens, end, max_tokens), end]
            edges += [at + cut - own[0] for cut in cuts]
            last += [False] * len(cuts)
            owners += [document] * len(cuts)
        at += own[-1] - own[0] + 1
        edges[-1], last[-1] = at, True  # the separator goes with the last piece

    rows = []
    first, pieces = 0, len(last)
    while first < pieces:
        target = max_tokens
        if rng.random() < short_share:
            target = 2 + int(rng.random() * (max_tokens - 1))
        limit = edges[first] + target
        end = bisect.bisect_right(edges, limit, first + 1) - 1
        if end < pieces and last[end] and edges[end + 1] - 1 <= limit:
            end += 1  # fits without its separator
        end = max(end, first + 1)  # a piece that is longer than a short target
        rows.append((owners[first], edges[first], edges[end] - edges[first] - last[end - 1]))
        first = end
    columns = np.asarray(rows, np.int64).reshape(-1, 3).T
    return Packed(np.concatenate(tokens), np.concatenate(begins), *columns)
