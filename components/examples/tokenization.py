"""Documents to ids: one call of the graph takes thousands of pieces, across documents."""

import collections
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.cleaning.word_grams import count_words
from components.documents import Document
from models.objective import Objective, TokenizedDocument
from models.tokenizers.tokenizer import Tokenizer

_PIECES = 4_096  # pieces that one call of the tokenizer takes
_WORST = 3  # documents told of
_START_CHARACTERS = 80
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

    @tf.function(input_signature=_TEXTS)
    def ids_and_lengths(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids of texts `[batch]`, and how many bytes of its text each token stands for."""
        ids, starts, limits = self._tokenizer.tokenize_with_offsets(texts)
        return ids.values, limits.values - starts.values

    def unknown(self, ids: np.ndarray) -> np.ndarray:
        """Which tokens the vocabulary does not have, bool `[tokens]`."""
        return self._tokenizer.unknown(ids)

    @property
    def reads_unknown(self) -> bool:
        """Whether a model reads such a token all the same, and only cannot predict it."""
        return self._tokenizer.reads_unknown


class Coverage:
    """How well a vocabulary fits documents, and the documents that it fits least.

    Attributes:
        counts: `bytes` of the text, white space apart, its `words`, and its `tokens`; of these
            `unknown_tokens`, and `unknown_bytes`, which they stand for. Where a model reads unknown
            tokens all the same these bytes are not counted, and are 0.
        worst: the documents with the highest share of unknown bytes, or tokens, none without one:
            `id`, `unknown_share` and `start`.
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
            texts: the pieces of each.
            tokens: of all pieces, end to end.
            lengths: int64 `[pieces]`, tokens of each.
            tokenizer: gave them.
        """
        unknown = tokenizer.unknown(tokens)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        sizes = [*map(_bytes_of, documents)]
        if tokenizer.reads_unknown:  # what is lost is a word to predict, however long
            lost = np.bincount(owner[unknown], minlength=len(lengths))
        else:
            lost = _unknown_bytes(texts, np.unique(owner[unknown]), lengths, tokenizer)
            self.counts["unknown_bytes"] += int(lost.sum())
        first = np.cumsum([0, *map(len, texts)])
        for number, (document, size) in enumerate(zip(documents, sizes, strict=True)):
            own = slice(first[number], first[number + 1])
            if lost[own].any():
                of = lengths[own].sum() if tokenizer.reads_unknown else size
                start = " ".join(document.text[:_START_CHARACTERS].split())
                share = round(float(lost[own].sum() / of), 4)
                self.worst.append({"id": document.id, "unknown_share": share, "start": start})
        self.worst = worst_of(self.worst)
        self.counts["bytes"] += sum(sizes)
        self.counts["words"] += sum(count_words(document.text) for document in documents)
        self.counts["tokens"] += len(tokens)
        self.counts["unknown_tokens"] += int(unknown.sum())


def _bytes_of(document: Document) -> int:
    return len("".join(document.text.split()).encode())


def _unknown_bytes(
    texts: Sequence[Sequence[str]],
    odd: np.ndarray,
    lengths: np.ndarray,
    tokenizer: GraphTokenizer,
) -> np.ndarray:
    """Bytes of each piece that unknown tokens stand for, int64 `[pieces]`.

    Args:
        texts: the pieces of each document.
        odd: the pieces that have an unknown token, few as a rule: bytes take longer to find.
        lengths: tokens of each piece.
        tokenizer: gave them.
    """
    pieces = [*itertools.chain.from_iterable(texts)]
    lost = np.zeros(len(pieces), np.int64)
    for begin in range(0, len(odd), _PIECES):
        block = odd[begin : begin + _PIECES]
        ids, sizes = tokenizer.ids_and_lengths(tf.constant([pieces[n] for n in block]))
        owner = np.repeat(block, lengths[block])
        np.add.at(lost, owner, np.where(tokenizer.unknown(ids.numpy()), sizes.numpy(), 0))
    return lost


def worst_of(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of documents that `Coverage.worst` tells of, those that are told of when there are more."""
    return sorted(documents, key=lambda each: (-each["unknown_share"], each["id"]))[:_WORST]


def tokenize_documents(
    documents: Sequence[Document],
    objective: Objective,
    tokenizer: GraphTokenizer,
    tally: collections.Counter[str],
    coverage: Coverage | None = None,
) -> list[TokenizedDocument]:
    """Splits documents and tokenizes their pieces, `_PIECES` of all documents at a time.

    Args:
        documents: one group's, sorted.
        objective: says what a piece is, and of which languages words are cut.
        tokenizer: gives the ids.
        tally: gets `pieces_without_token`.
        coverage: gets what the tokens make of the text.
    """
    texts = [objective.split(document.text, document.lang) for document in documents]
    cutters = [objective.segmenter(document.lang) for document in documents]
    pieces = list(itertools.chain.from_iterable(texts))
    tokens, starts, lengths = _tokenize(pieces, tokenizer, starts=any(cutters))
    tally["pieces_without_token"] += int(np.sum(lengths == 0))
    if coverage is not None:
        coverage.measure(documents, texts, tokens, lengths, tokenizer)
    ends = np.cumsum([0, *map(len, texts)])
    places = np.cumsum(np.concatenate([[0], lengths]))
    tokenized = []
    for document, cut, cutter, begin, end in zip(
        documents, texts, cutters, ends[:-1], ends[1:], strict=True
    ):
        inside = slice(places[begin], places[end])
        own = lengths[begin:end]
        begins = None
        if cutter is not None:
            begins = _begin_words([cutter(piece) for piece in cut], starts[inside], own)
        tokenized.append(
            TokenizedDocument(
                id=document.id,
                source=document.source,
                lang=document.lang,
                tokens=tokens[inside],
                lengths=own[own > 0],
                begins=begins,
            )
        )
    return tokenized


def _tokenize(
    pieces: Sequence[str], tokenizer: GraphTokenizer, *, starts: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All tokens end to end, each one's first byte in its piece, and the number of each piece's.

    First bytes are nothing where they are not wanted: they take longer to find.
    """
    batches = []
    for begin in range(0, max(len(pieces), 1), _PIECES):
        batch = tf.constant(pieces[begin : begin + _PIECES], tf.string)
        if starts:
            ids, first, splits = tokenizer.ids_and_starts(batch)
        else:
            (ids, splits), first = tokenizer.ids(batch), tf.zeros(0, tf.int64)
        batches.append((ids.numpy(), first.numpy(), np.diff(splits.numpy())))
    tokens, firsts, lengths = map(np.concatenate, zip(*batches, strict=True))
    return tokens, firsts, lengths


def _begin_words(
    words: Sequence[Sequence[str]], starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Which tokens begin a word, bool `[tokens]`.

    Args:
        words: of each piece.
        starts: first byte in its piece of each token.
        lengths: tokens of each piece.
    """
    begins = np.zeros(len(starts), np.bool_)
    end = 0
    for cut, length in zip(words, lengths.tolist(), strict=True):
        begin, end = end, end + length
        edges = np.cumsum([0, *(len(word.encode()) for word in cut)])
        begins[begin:end] = np.isin(starts[begin:end], edges)
    return begins
