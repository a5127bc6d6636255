"""Documents to ids: one call of the graph takes thousands of pieces, across documents."""

import collections
import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.documents import Document
from models.objective import Objective, TokenizedDocument
from models.tokenizers.tokenizer import Tokenizer

_PIECES = 4_096  # pieces that one call of the tokenizer takes
_TEXTS = [tf.TensorSpec([None], tf.string)]  # one trace for all batches


class GraphTokenizer(tf.Module):
    """A tokenizer's two functions as graphs that give flat values and row splits."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    @tf.function(input_signature=_TEXTS)
    def ids(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids of texts `[batch]`, and where each text's begin."""
        ids = self._tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    @tf.function(input_signature=_TEXTS)
    def ids_and_starts(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As `ids`, and before the row splits each token's first byte in its text."""
        ids, starts, _ = self._tokenizer.tokenize_with_offsets(texts)
        return ids.values, starts.values, ids.row_splits


def tokenize_documents(
    documents: Sequence[Document],
    objective: Objective,
    tokenizer: GraphTokenizer,
    tally: collections.Counter[str],
) -> list[TokenizedDocument]:
    """Splits documents and tokenizes their pieces, `_PIECES` of all documents at a time.

    Args:
        documents: one group's, sorted.
        objective: says what a piece is, and which of them are cut into words.
        tokenizer: gives the ids.
        tally: gets `pieces_without_token`.
    """
    texts = [objective.split(document.text, document.lang) for document in documents]
    flat = (
        (piece, objective.segment(piece, document.lang))
        for document, cut in zip(documents, texts, strict=True)
        for piece in cut
    )
    pieces: list[np.ndarray] = []
    begins: list[np.ndarray | None] = []
    while batch := list(itertools.islice(flat, _PIECES)):
        ids, flags = _tokenize(batch, tokenizer)
        pieces += ids
        begins += flags
    ends = itertools.accumulate(map(len, texts), initial=0)
    tokenized = []
    for document, (begin, end) in zip(documents, itertools.pairwise(ends), strict=True):
        kept = [place for place in range(begin, end) if len(pieces[place])]
        told = [begins[place] for place in kept]
        tokenized.append(
            TokenizedDocument(
                id=document.id,
                source=document.source,
                lang=document.lang,
                pieces=[pieces[place] for place in kept],
                begins=told if any(flags is not None for flags in told) else None,
            )
        )
    tally["pieces_without_token"] += len(pieces) - sum(len(d.pieces) for d in tokenized)
    return tokenized


def _tokenize(
    batch: Sequence[tuple[str, Sequence[str] | None]], tokenizer: GraphTokenizer
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Each piece's ids, and of those that were cut into words which tokens begin one."""
    texts = tf.constant([piece for piece, _ in batch], tf.string)
    if all(words is None for _, words in batch):
        values, splits = (part.numpy() for part in tokenizer.ids(texts))
        ends = splits.tolist()
        return [values[begin:end] for begin, end in itertools.pairwise(ends)], [None] * len(batch)
    values, starts, splits = (part.numpy() for part in tokenizer.ids_and_starts(texts))
    pieces: list[np.ndarray] = []
    begins: list[np.ndarray | None] = []
    for (_, words), begin, end in zip(batch, splits[:-1], splits[1:], strict=True):
        pieces.append(values[begin:end])
        if words is None:
            begins.append(None)
        else:
            edges = np.cumsum([0, *(len(word.encode()) for word in words)])
            begins.append(np.isin(starts[begin:end], edges))
    return pieces, begins
