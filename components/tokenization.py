"""Documents to ids: one call of the graph takes thousands of pieces, across documents."""

import collections
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.documents import Document
from models.objective import Objective, TokenizedDocument
from models.tokenizers.tokenizer import Tokenizer

_PIECES = 4_096  # pieces that one call of the tokenizer takes


def tokenize_documents(
    documents: Sequence[Document],
    objective: Objective,
    tokenize: Any,
    tally: collections.Counter[str],
) -> list[TokenizedDocument]:
    """Splits documents and tokenizes their pieces, `_PIECES` of all documents at a time.

    Args:
        documents: one group's, sorted.
        objective: says what a piece is.
        tokenize: string `[batch]` → ids and row splits, a graph function.
        tally: gets `pieces_without_token`.
    """
    texts = [objective.split(document.text, document.lang) for document in documents]
    flat = itertools.chain.from_iterable(texts)
    pieces: list[np.ndarray] = []
    while batch := list(itertools.islice(flat, _PIECES)):
        values, splits = (part.numpy() for part in tokenize(tf.constant(batch, tf.string)))
        pieces.extend(values[begin:end] for begin, end in itertools.pairwise(splits.tolist()))
    ends = itertools.accumulate(map(len, texts), initial=0)
    tokenized = [
        TokenizedDocument(
            id=document.id,
            source=document.source,
            lang=document.lang,
            pieces=[piece for piece in pieces[begin:end] if len(piece)],
        )
        for document, (begin, end) in zip(documents, itertools.pairwise(ends), strict=True)
    ]
    kept = sum(len(document.pieces) for document in tokenized)
    tally["pieces_without_token"] += len(pieces) - kept
    return tokenized


def graph_function(tokenizer: Tokenizer) -> Any:
    """What `tokenize_documents` takes: string `[batch]` → ids and row splits, in one graph."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # one trace for all batches
    def tokenize(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    return tokenize
