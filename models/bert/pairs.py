"""Sentence pairs for next-sentence prediction, as spans of one flat array of a group's tokens.

Follows `create_instances_from_document` of google-research/bert. Pieces are gathered into a chunk
until it reaches a target length. A ends at a random piece boundary inside the chunk, and B is the
rest of the chunk. But half of the time, and always when the chunk is a single piece, B begins at a
random piece of another document instead, and the chunk's unused pieces are put back. A and B are
runs of whole pieces, so four numbers describe a pair, and no token has to be copied here.

For sentence order (Lan et al., 2020, "ALBERT") B is always the rest of the chunk, and A and B are
swapped half of the time.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from models.framing import longest_first
from models.objective import TokenizedDocument


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A group's documents as one array.

    Attributes:
        tokens: int32 `[tokens]`, all pieces of all documents, in order.
        begins: bool `[tokens]`, tokens that begin a word.
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
    def of(cls, documents: Sequence[TokenizedDocument], continues_word: np.ndarray) -> Corpus:
        """Concatenates documents; documents without a piece are left out.

        Args:
            documents: the group. If a document has `begins`, it marks the tokens that begin a word.
            continues_word: bool `[vocabulary]`, entries that continue a word; used for documents
                that have no `begins`.
        """
        documents = [document for document in documents if len(document.lengths)]
        tokens = np.concatenate([np.zeros(0, np.int32), *(d.tokens for d in documents)])
        begins = ~continues_word[tokens]
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
        follows: int64, 1 if B follows A, 0 if B comes from another document or precedes A.
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
        """The pairs at these indices, in this order."""
        return Pairs(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def make_pairs(
    corpus: Corpus,
    *,
    max_tokens: int,
    short_seq_prob: float,
    passes: int,
    rng: np.random.Generator,
    tally: collections.Counter[str],
    sentence_order: bool = False,
) -> Pairs:
    """Pairs of every document, not yet truncated; each pass makes other cuts.

    One rule differs from google-research/bert: it draws a partner document up to ten times and may
    end with the same document; here the partner is always another document. If the group has a
    single document, every pair follows and a chunk of a single piece is dropped; both are tallied,
    as `pairs_without_partner` and `chunks_without_partner`.

    Args:
        max_tokens: tokens of A and B together, at most.
        short_seq_prob: share of documents, per pass, that aim at a random shorter length.
        passes: how often each document is used.
        sentence_order: makes pairs of one document, in order or swapped. A chunk of a single piece
            gives no pair and is tallied as `chunks_without_partner`.
    """
    made = [
        _make_pass(corpus, max_tokens, short_seq_prob, rng, tally, sentence_order)
        for _ in range(passes)
    ]
    columns = zip(*(vars(pairs).values() for pairs in made), strict=True)
    return Pairs(*map(np.concatenate, columns))


def _make_pass(
    corpus: Corpus,
    max_tokens: int,
    short_seq_prob: float,
    rng: np.random.Generator,
    tally: collections.Counter[str],
    sentence_order: bool,
) -> Pairs:
    """The pairs of one pass, in the order of their chunks."""
    edges, first = corpus.edges, corpus.first
    documents, pieces = len(first) - 1, len(edges) - 1
    owner = np.repeat(np.arange(documents), np.diff(first))
    target = np.full(documents, max_tokens)
    short = np.flatnonzero(rng.random(documents) < short_seq_prob)
    target[short] = 2 + _below(np.full(len(short), max_tokens - 1), rng)
    target = target[owner]

    # First the chunk that would begin at each piece, then the pieces at which a chunk does begin.
    begin = np.arange(pieces)
    end = np.minimum(np.searchsorted(edges, edges[begin] + target), first[owner + 1])
    cut = begin + 1 + _below(np.maximum(end - begin - 1, 1), rng)
    coin = rng.random(pieces) < 0.5
    single_piece = cut == end
    elsewhere = (single_piece | coin) & (not sentence_order and documents > 1)
    chunks = _visited(np.where(elsewhere, cut, end))  # the rest of a chunk is put back
    dropped = single_piece[chunks] & ~elsewhere[chunks]
    if dropped.any():
        tally["chunks_without_partner"] += int(dropped.sum())
    chunks = chunks[~dropped]
    if documents == 1 and not sentence_order:
        tally["pairs_without_partner"] += len(chunks)

    begin, cut, end, document = chunks, cut[chunks], end[chunks], owner[chunks]
    if sentence_order:
        follows = coin[chunks]
        a_first, a_last = np.where(follows, begin, cut), np.where(follows, cut, end)
        b_first, b_last = np.where(follows, cut, begin), np.where(follows, end, cut)
    else:
        follows = ~elsewhere[chunks]
        a_first, a_last, b_first, b_last = begin, cut, cut.copy(), end
        random = np.flatnonzero(~follows)
        room = target[begin[random]] - (edges[cut[random]] - edges[begin[random]])
        b_first[random], b_last[random] = _elsewhere(corpus, document[random], room, rng)
    return Pairs(
        document=document,
        a_start=edges[a_first],
        a_length=edges[a_last] - edges[a_first],
        b_start=edges[b_first],
        b_length=edges[b_last] - edges[b_first],
        follows=follows.astype(np.int64),
    )


def _elsewhere(
    corpus: Corpus, document: np.ndarray, room: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Segments B from another document: the first piece of each, and the piece after its last.

    Args:
        document: int64 `[pairs]`, A's document.
        room: int64 `[pairs]`, tokens that A leaves of the target length.
    """
    edges, first = corpus.edges, corpus.first
    partner = _below(np.full(len(document), len(first) - 2), rng)
    partner += partner >= document
    begin = first[partner] + _below(first[partner + 1] - first[partner], rng)
    end = np.searchsorted(edges, edges[begin] + np.maximum(room, 1))
    return begin, np.minimum(end, first[partner + 1])


def _visited(next_index: np.ndarray) -> np.ndarray:
    """Indices visited from 0 by following `i → next_index[i]`, int64."""
    following, index, visited = next_index.tolist(), 0, []
    while index < len(following):
        visited.append(index)
        index = following[index]
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
    """Cuts pairs to `max_tokens`: always the longer side, at its front or back at random.

    google-research/bert removes one token at a time, from A while A is longer, else from B, each
    from the front with probability 1/2. The resulting lengths have a closed form, and the number of
    tokens removed from the front is binomial. Tallies `truncated_tokens`.
    """
    a_left, b_left = (
        length.numpy() for length in longest_first(pairs.a_length, pairs.b_length, max_tokens)
    )
    a_cut, b_cut = pairs.a_length - a_left, pairs.b_length - b_left
    tally["truncated_tokens"] += int(a_cut.sum() + b_cut.sum())
    return dataclasses.replace(
        pairs,
        a_start=pairs.a_start + rng.binomial(a_cut, 0.5),
        a_length=a_left,
        b_start=pairs.b_start + rng.binomial(b_cut, 0.5),
        b_length=b_left,
    )
