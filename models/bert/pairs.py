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

import bisect
import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from models.objective import TokenizedDocument

_DRAWS = 4_096  # uniforms drawn at a time: a scalar draw costs more than the rest of a pair


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A group's documents as one array.

    Attributes:
        tokens: int32 `[tokens]`, all pieces of all documents, in order.
        begins: bool `[tokens]`, those that begin a word.
        boundaries: for each document, the positions in `tokens` where its pieces begin, and the
            position after its last.
        sources: UTF-8 source of each document.
    """

    tokens: np.ndarray
    begins: np.ndarray
    boundaries: Sequence[Sequence[int]]
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
        ends = np.cumsum(np.concatenate([[0], *(document.lengths for document in documents)]))
        first = np.cumsum([0, *(len(document.lengths) for document in documents)])
        for document, begin, end in zip(documents, first[:-1], first[1:], strict=True):
            if document.begins is not None:
                begins[ends[begin] : ends[end]] = document.begins
        return cls(
            tokens=tokens,
            begins=begins,
            boundaries=[ends[begin : end + 1].tolist() for begin, end in itertools.pairwise(first)],
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
    draw = _uniforms(rng)
    rows: list[tuple[int, int, int, int, int, int]] = []
    for _ in range(passes):
        for document in range(len(corpus.boundaries)):
            target = max_tokens
            if next(draw) < short_share:
                target = 2 + int(next(draw) * (max_tokens - 1))
            if order:
                rows.extend(
                    _ordered_pairs(corpus.boundaries[document], document, target, draw, tally)
                )
            else:
                rows.extend(_document_pairs(corpus.boundaries, document, target, draw, tally))
    columns = np.asarray(rows, np.int64).reshape(-1, 6).T
    return Pairs(*columns)


def _document_pairs(
    boundaries: Sequence[Sequence[int]],
    document: int,
    target: int,
    draw: Iterator[float],
    tally: collections.Counter[str],
) -> Iterator[tuple[int, int, int, int, int, int]]:
    edges = boundaries[document]
    pieces = len(edges) - 1
    begin = 0
    while begin < pieces:
        end = min(bisect.bisect_left(edges, edges[begin] + target), pieces)
        cut = begin + 1
        if end - begin > 1:
            cut += int(next(draw) * (end - begin - 1))
        a_start, a_length = edges[begin], edges[cut] - edges[begin]
        if len(boundaries) == 1:
            begin = end
            if end == cut:
                tally["chunks_without_partner"] += 1
                continue
            tally["pairs_without_partner"] += 1
            yield document, a_start, a_length, edges[cut], edges[end] - edges[cut], 1
        elif end == cut or next(draw) < 0.5:
            partner = int(next(draw) * (len(boundaries) - 1))
            other = boundaries[partner + (partner >= document)]
            first = int(next(draw) * (len(other) - 1))
            want = other[first] + max(target - a_length, 1)
            last = min(bisect.bisect_left(other, want), len(other) - 1)
            begin = cut  # the rest of the chunk is put back
            yield document, a_start, a_length, other[first], other[last] - other[first], 0
        else:
            begin = end
            yield document, a_start, a_length, edges[cut], edges[end] - edges[cut], 1


def _ordered_pairs(
    edges: Sequence[int],
    document: int,
    target: int,
    draw: Iterator[float],
    tally: collections.Counter[str],
) -> Iterator[tuple[int, int, int, int, int, int]]:
    pieces = len(edges) - 1
    begin = 0
    while begin < pieces:
        end = min(bisect.bisect_left(edges, edges[begin] + target), pieces)
        if end - begin == 1:
            tally["chunks_without_partner"] += 1
        else:
            cut = begin + 1 + int(next(draw) * (end - begin - 1))
            first, second = (edges[begin], edges[cut]), (edges[cut], edges[end])
            follows = int(next(draw) < 0.5)
            a, b = (first, second) if follows else (second, first)
            yield document, a[0], a[1] - a[0], b[0], b[1] - b[0], follows
        begin = end


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


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_DRAWS).tolist()
