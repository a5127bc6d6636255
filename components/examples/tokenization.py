"""Tokenizes documents in batches of thousands of pieces, and measures a vocabulary's coverage."""

import collections
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.documents import Document
from components.words import count_words
from models.objective import Objective, TokenizedDocument
from models.tokenizers.tokenizer import Tokenizer

_BATCH_PIECES = 4_096  # pieces in one call of the tokenizer
_WORST = 3  # documents with the lowest coverage that are reported
_START_CHARACTERS = 80
_TEXTS = [tf.TensorSpec([None], tf.string)]  # one trace for all batches


class GraphTokenizer(tf.Module):
    """A tokenizer's functions as graphs that return flat values and row splits."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    @tf.function(input_signature=_TEXTS)
    def ids(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids of texts `[batch]`: int32 `[tokens]`, and row splits, int64 `[batch + 1]`."""
        ids = self._tokenizer.tokenize(texts)
        return ids.values, ids.row_splits

    @tf.function(input_signature=_TEXTS)
    def ids_and_starts(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Like `ids`, with each token's first byte in its text before the row splits."""
        ids, starts, _ = self._tokenizer.tokenize_with_offsets(texts)
        return ids.values, starts.values, ids.row_splits

    @tf.function(input_signature=_TEXTS)
    def ids_and_lengths(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids of texts `[batch]`, and the number of bytes of text that each token covers."""
        ids, starts, limits = self._tokenizer.tokenize_with_offsets(texts)
        return ids.values, limits.values - starts.values

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which tokens are not in the vocabulary, bool `[tokens]`."""
        return self._tokenizer.unknown(ids)

    @property
    def reads_unknown(self) -> bool:
        """Whether a model can read unknown tokens, and only cannot predict them."""
        return self._tokenizer.reads_unknown


class Coverage:
    """How well a vocabulary covers documents, and the documents that it covers worst.

    Attributes:
        counts: numbers of `bytes` (without white space), `words` and `tokens` of the text; of
            `unknown_tokens`, and of `unknown_bytes` that these stand for. If the tokenizer
            `reads_unknown`, these bytes are not counted and are 0.
        worst: `id`, `unknown_share` and `start` of the documents with the highest share of unknown
            bytes, or of unknown tokens if the tokenizer `reads_unknown`.
    """

    def __init__(self) -> None:
        self.counts = collections.Counter(
            dict.fromkeys(("bytes", "words", "tokens", "unknown_tokens", "unknown_bytes"), 0)
        )
        self.worst: list[dict[str, Any]] = []

    def measure(
        self,
        documents: Sequence[Document],
        texts: Sequence[Sequence[str]],
        tokens: np.ndarray,
        lengths: np.ndarray,
        tokenizer: GraphTokenizer,
    ) -> None:
        """Adds documents.

        Args:
            documents: the documents.
            texts: the pieces of each document.
            tokens: ids of the tokens of all pieces, `[tokens]`.
            lengths: number of tokens of each piece, int64 `[pieces]`.
            tokenizer: the tokenizer that gave them.
        """
        unknown = tokenizer.unknown(tokens)
        piece_of_token = np.repeat(np.arange(len(lengths)), lengths)
        sizes = [*map(_size, documents)]
        if tokenizer.reads_unknown:  # each unknown token is one word that cannot be predicted
            lost = np.bincount(piece_of_token[unknown], minlength=len(lengths))
        else:
            lost = _unknown_bytes(texts, np.unique(piece_of_token[unknown]), lengths, tokenizer)
            self.counts["unknown_bytes"] += int(lost.sum())
        ends = np.cumsum([0, *map(len, texts)])
        for number, (document, size) in enumerate(zip(documents, sizes, strict=True)):
            pieces = slice(ends[number], ends[number + 1])
            if lost[pieces].any():
                total = lengths[pieces].sum() if tokenizer.reads_unknown else size
                start = " ".join(document.text[:_START_CHARACTERS].split())
                share = round(float(lost[pieces].sum() / total), 4)
                self.worst.append({"id": document.id, "unknown_share": share, "start": start})
        self.worst = worst_documents(self.worst)
        self.counts["bytes"] += sum(sizes)
        self.counts["words"] += sum(count_words(document.text) for document in documents)
        self.counts["tokens"] += len(tokens)
        self.counts["unknown_tokens"] += int(unknown.sum())


def _size(document: Document) -> int:
    """Bytes of a document's text without white space."""
    return len("".join(document.text.split()).encode())


def _unknown_bytes(
    texts: Sequence[Sequence[str]],
    with_unknown: np.ndarray,
    lengths: np.ndarray,
    tokenizer: GraphTokenizer,
) -> np.ndarray:
    """The number of bytes of each piece that unknown tokens stand for, int64 `[pieces]`.

    Args:
        texts: the pieces of each document.
        with_unknown: indices of the pieces with an unknown token. Usually they are few, and only
            these are tokenized again, because finding bytes takes longer.
        lengths: number of tokens of each piece.
        tokenizer: the tokenizer.
    """
    pieces = [*itertools.chain.from_iterable(texts)]
    lost = np.zeros(len(pieces), np.int64)
    for begin in range(0, len(with_unknown), _BATCH_PIECES):
        batch = with_unknown[begin : begin + _BATCH_PIECES]
        ids, sizes = tokenizer.ids_and_lengths(tf.constant([pieces[n] for n in batch]))
        piece_of_token = np.repeat(batch, lengths[batch])
        np.add.at(lost, piece_of_token, np.where(tokenizer.unknown(ids.numpy()), sizes.numpy(), 0))
    return lost


def worst_documents(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The `_WORST` documents with the highest unknown share, from entries of `Coverage.worst`."""
    return sorted(documents, key=lambda entry: (-entry["unknown_share"], entry["id"]))[:_WORST]


def tokenize_documents(
    documents: Sequence[Document],
    objective: Objective,
    tokenizer: GraphTokenizer,
    tally: collections.Counter[str],
    coverage: Coverage | None = None,
) -> list[TokenizedDocument]:
    """Splits documents into pieces and tokenizes these, `_BATCH_PIECES` at a time.

    Args:
        documents: the documents of a shard, sorted.
        objective: decides what a piece is, and for which languages words are segmented.
        tokenizer: the tokenizer.
        tally: its count `pieces_without_token` is increased.
        coverage: the documents are added to it.
    """
    texts = [objective.split(document.text, document.lang) for document in documents]
    segmenters = [objective.segmenter(document.lang) for document in documents]
    pieces = list(itertools.chain.from_iterable(texts))
    tokens, starts, lengths = _tokenize(pieces, tokenizer, with_starts=any(segmenters))
    tally["pieces_without_token"] += int(np.sum(lengths == 0))
    if coverage is not None:
        coverage.measure(documents, texts, tokens, lengths, tokenizer)
    piece_ends = np.cumsum([0, *map(len, texts)])
    token_ends = np.cumsum(np.concatenate([[0], lengths]))
    tokenized = []
    for document, texts_of_pieces, segmenter, begin, end in zip(
        documents, texts, segmenters, piece_ends[:-1], piece_ends[1:], strict=True
    ):
        tokens_of_document = slice(token_ends[begin], token_ends[end])
        lengths_of_pieces = lengths[begin:end]
        begins = None
        if segmenter is not None:
            words = [segmenter(piece) for piece in texts_of_pieces]
            begins = _begin_words(words, starts[tokens_of_document], lengths_of_pieces)
        tokenized.append(
            TokenizedDocument(
                id=document.id,
                source=document.source,
                lang=document.lang,
                tokens=tokens[tokens_of_document],
                lengths=lengths_of_pieces[lengths_of_pieces > 0],
                begins=begins,
            )
        )
    return tokenized


def _tokenize(
    pieces: Sequence[str], tokenizer: GraphTokenizer, *, with_starts: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokenizes pieces.

    Returns:
        The tokens of all pieces, `[tokens]`; each token's first byte in its piece, `[tokens]`, or
        an empty array without `with_starts`, because finding bytes takes longer; and the number of
        tokens of each piece, `[pieces]`.
    """
    batches = []
    for begin in range(0, max(len(pieces), 1), _BATCH_PIECES):
        batch = tf.constant(pieces[begin : begin + _BATCH_PIECES], tf.string)
        if with_starts:
            ids, starts, splits = tokenizer.ids_and_starts(batch)
        else:
            (ids, splits), starts = tokenizer.ids(batch), tf.zeros(0, tf.int64)
        batches.append((ids.numpy(), starts.numpy(), np.diff(splits.numpy())))
    tokens, all_starts, lengths = map(np.concatenate, zip(*batches, strict=True))
    return tokens, all_starts, lengths


def _begin_words(
    words: Sequence[Sequence[str]], starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Which tokens begin a word, bool `[tokens]`.

    Args:
        words: the words of each piece.
        starts: each token's first byte in its piece, `[tokens]`.
        lengths: number of tokens of each piece, `[pieces]`.
    """
    begins = np.zeros(len(starts), np.bool_)
    end = 0
    for words_of_piece, length in zip(words, lengths.tolist(), strict=True):
        begin, end = end, end + length
        edges = np.cumsum([0, *(len(word.encode()) for word in words_of_piece)])
        begins[begin:end] = np.isin(starts[begin:end], edges)
    return begins
