"""Sentence pairs for next-sentence prediction, as spans over one flat array of a group's tokens.

Follows `create_instances_from_document` of google-research/bert: pieces are gathered into a chunk
until a target length; A ends at a random piece boundary inside the chunk; B is the rest of the
chunk, or, half of the time and always when the chunk is a single piece, begins at a random piece
of another document, and then the chunk's unused pieces are put back. Because A and B are runs of
whole pieces, four numbers describe a pair, and nothing here touches a token.

Instead B can always be the rest of the chunk, and the two change places half of the time: sentence
order (Lan et al., 2020, "ALBERT").
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from models.objective import TokenizedDocument


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A group's documents as one array.

    Attributes:
        tokens: int32 `[tokens]`, all pieces of all documents, in order.
        begins: bool `[tokens]`, those that begin a word.
        edges: int64 `[pieces + 1]`, the positions in `tokens` where pieces begin, and the end.
        first: int64 `[documents + 1]`, the first piece of each document, and the number of pieces.
        sources: UTF-8 source of each document.
    """

    tokens: np.ndarray
    begins: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    sources: Sequence[bytes]

    @classmethod
    def of(cls, documents: Sequence[TokenizedDocument], goes_on: np.ndarray) -> Corpus:
        """Lays documents end to end; those without a piece are left out.

        Args:
            documents: some of them may say where words begin.
            goes_on: bool `[vocabulary]`, entries that go on with a word, for all the others.
        """
        documents = [document for document in documents if len(document.lengths)]
        tokens = np.concatenate([np.zeros(0, np.int32), *(d.tokens for d in documents)])
        begins = ~goes_on[tokens]
        edges = np.cumsum(np.concatenate([[0], *(document.lengths for document in documents)]))
        first = np.cumsum([0, *(len(document.lengths) for document in documents)])
        for document, begin, end in zip(documents, first[:-1], first[1:], strict=True):
            if document.begins is not None:
                begins[edges[begin] : edges[end]] = document.begins
        return cls(
            tokens=tokens,
            begins=begins,
            edges=edges.astype(np.int64),
            first=first,
            sources=[document.source.encode() for document in documents],
        )


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs as spans of `Corpus.tokens`, each field an array `[pairs]`.

    Attributes:
        document: index of A's document.
        a_start, a_length, b_start, b_length: int64, in tokens.
        follows: int64, 1 if B is what follows A, 0 if it comes from another document or before A.
    """

    document: np.ndarray
    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    follows: np.ndarray

    def __len__(self) -> int:
        return len(self.follows)

    def take(self, rows: np.ndarray) -> Pairs:
        """The pairs of the given rows, in that order."""
        return Pairs(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def make_pairs(
    corpus: Corpus,
    *,
    max_tokens: int,
    short_share: float,
    passes: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
    order: bool = False,
) -> Pairs:
    """Pairs of every document, `passes` times over with other cuts, not yet truncated.

    One thing differs from google-research/bert: where that draws a partner up to ten times and may
    end with the document itself, here it is always another one. With a single document there is
    no other one: every pair follows, and a chunk of a single piece is dropped; both are tallied,
    as `pairs_without_partner` and `chunks_without_partner`.

    Args:
        max_tokens: tokens of A and B together, at most.
        short_share: share of documents, per pass, that aim at a random shorter length.
        order: pairs are of one document, in order or not. A chunk of a single piece has none and
            is dropped, and tallied as `chunks_without_partner`.
    """
    made = [_make_pass(corpus, max_tokens, short_share, rng, tally, order) for _ in range(passes)]
    columns = zip(*(vars(pairs).values() for pairs in made), strict=True)
    return Pairs(*map(np.concatenate, columns))


def _make_pass(
    corpus: Corpus,
    max_tokens: int,
    short_share: float,
    rng: np.random.Generator,
    tally: collections.Counter[str],
    order: bool,
) -> Pairs:
    """The pairs of one pass, in the order of their chunks."""
    edges, first = corpus.edges, corpus.first
    documents, pieces = len(first) - 1, len(edges) - 1
    owner = np.repeat(np.arange(documents), np.diff(first))
    target = np.full(documents, max_tokens)
    short = np.flatnonzero(rng.random(documents) < short_share)
    target[short] = 2 + _below(np.full(len(short), max_tokens - 1), rng)
    target = target[owner]

    # The chunk that would begin with each piece, at once; then which pieces do begin one.
    begin = np.arange(pieces)
    end = np.minimum(np.searchsorted(edges, edges[begin] + target), first[owner + 1])
    cut = begin + 1 + _below(np.maximum(end - begin - 1, 1), rng)
    heads = rng.random(pieces) < 0.5
    alone = cut == end
    elsewhere = (alone | heads) & (not order and documents > 1)
    rows = _walk(np.where(elsewhere, cut, end))  # the rest of a chunk is put back
    dropped = alone[rows] & ~elsewhere[rows]
    if dropped.any():
        tally["chunks_without_partner"] += int(dropped.sum())
    rows = rows[~dropped]
    if documents == 1 and not order:
        tally["pairs_without_partner"] += len(rows)

    begin, cut, end, document = rows, cut[rows], end[rows], owner[rows]
    if order:
        follows = heads[rows]
        a_first, a_last = np.where(follows, begin, cut), np.where(follows, cut, end)
        b_first, b_last = np.where(follows, cut, begin), np.where(follows, end, cut)
    else:
        follows = ~elsewhere[rows]
        a_first, a_last, b_first, b_last = begin, cut, cut.copy(), end
        random = np.flatnonzero(~follows)
        partner = _below(np.full(len(random), documents - 1), rng)
        partner += partner >= document[random]
        b_first[random] = first[partner] + _below(first[partner + 1] - first[partner], rng)
        left = target[begin[random]] - (edges[cut[random]] - edges[begin[random]])
        wanted = edges[b_first[random]] + np.maximum(left, 1)
        b_last[random] = np.minimum(np.searchsorted(edges, wanted), first[partner + 1])
    return Pairs(
        document=document,
        a_start=edges[a_first],
        a_length=edges[a_last] - edges[a_first],
        b_start=edges[b_first],
        b_length=edges[b_last] - edges[b_first],
        follows=follows.astype(np.int64),
    )


def _walk(after: np.ndarray) -> np.ndarray:
    """Where one comes by from 0 on, int64, if one goes from each place to `after` it."""
    steps, at, visited = after.tolist(), 0, []
    while at < len(steps):
        visited.append(at)
        at = steps[at]
    return np.array(visited, np.int64)


def _below(bounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform integers from 0 up to, not including, each bound."""
    return (rng.random(len(bounds)) * bounds).astype(np.int64)


def truncate_pairs(
    pairs: Pairs,
    max_tokens: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Pairs:
    """Cuts pairs to `max_tokens`: always from the longer side, at its front or back at random.

    google-research/bert takes one token at a time, from A while it is longer, else from B, each
    from the front with probability 1/2. The lengths that leaves have a closed form, and the tokens
    taken from the front are binomial. Tallies `truncated_tokens`.
    """
    a_left, b_left = longest_first(pairs.a_length, pairs.b_length, max_tokens)
    a_cut, b_cut = pairs.a_length - a_left, pairs.b_length - b_left
    tally["truncated_tokens"] += int(a_cut.sum() + b_cut.sum())
    return dataclasses.replace(
        pairs,
        a_start=pairs.a_start + rng.binomial(a_cut, 0.5),
        a_length=a_left,
        b_start=pairs.b_start + rng.binomial(b_cut, 0.5),
        b_length=b_left,
    )


def longest_first(a: np.ndarray, b: np.ndarray, max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths `[pairs]` after taking tokens from the longer side until both fit `max_tokens`."""
    a_left = np.minimum(a, np.maximum((max_tokens + 1) // 2, max_tokens - b))
    return a_left, np.minimum(b, max_tokens - a_left)
