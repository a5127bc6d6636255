"""GPT's training examples: documents joined by end-of-text and packed to full windows."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from models.examples import length_buckets
from models.gpt.config import GptObjectiveConfig
from models.objective import (
    Example,
    Examples,
    Feature,
    FeatureSpec,
    RenderedToken,
    TokenizedDocument,
)

_BLOCK = 1_024  # windows made at a time, which bounds the memory


def feature_spec(config: GptObjectiveConfig) -> FeatureSpec:
    """The schema of a window."""
    along_time = functools.partial(Feature, (config.sequence_length,), "int64", axis="time")
    return {
        "token_ids": along_time("tokens, end-of-text before each document; padded"),
        "label_ids": along_time("the token that follows each"),
        "padding_mask": along_time("1 for a real token"),
        "position_ids": along_time("position in the window, or in its document if separate"),
        "byte_count": Feature((1,), "int64", "UTF-8 bytes of the labels"),
        "word_count": Feature(
            (1,), "int64", "words that begin in the labels, split at white space"
        ),
        "source": Feature((1,), "string", "source of the document that the window begins in"),
        "length": Feature((1,), "string", "bucket of the number of real tokens, as 065-128"),
    }


def make_examples(
    documents: Sequence[TokenizedDocument],
    config: GptObjectiveConfig,
    end_of_text: int,
    entries: Sequence[bytes],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Windows of one group, shuffled; a pure function of its arguments.

    The group's documents, in random order, are one stream: an end-of-text token before each
    document and one at the end. Windows cut it without overlap and without remainder: every token
    but the first is a label once. Only the last window is padded.

    Args:
        documents: the group.
        config: the length of windows, and whether documents are separate.
        end_of_text: the id of the token between documents.
        entries: the bytes of each token by id; empty for end-of-text.
        rng: the only source of randomness.
        tally: receives the counts `documents_without_text` and `padded_windows`.
    """
    tally["documents_without_text"] += sum(not len(document.lengths) for document in documents)
    nonempty = [document for document in documents if len(document.lengths)]
    if not nonempty:
        return
    order = [nonempty[number] for number in rng.permutation(len(nonempty))]
    separator = np.array([end_of_text], np.int32)
    stream = np.concatenate([separator, *(part for d in order for part in (d.tokens, separator))])
    counts = _Counts(entries)
    sizes = np.array([1 + len(document.tokens) for document in order])
    sources = np.array([document.source.encode() for document in order], object)
    time = config.sequence_length
    windows = -(-(len(stream) - 1) // time)
    tally["padded_windows"] += int((len(stream) - 1) % time > 0)
    buckets = length_buckets(time)
    shuffled = rng.permutation(windows)
    begins = np.cumsum(sizes) - sizes
    for block in np.split(shuffled, range(_BLOCK, windows, _BLOCK)):
        index = block[:, None] * time + np.arange(time)
        real = index < len(stream) - 1
        index = np.minimum(index, len(stream) - 2)
        token_ids = np.where(real, stream[index], end_of_text)
        document = np.searchsorted(begins, index, side="right") - 1
        first = index[:, :1]
        if config.separate_documents:
            first = np.maximum(first, begins[document])
        lengths = real.sum(axis=1)
        yield {
            "token_ids": token_ids.astype(np.int64),
            "label_ids": np.where(real, stream[index + 1], end_of_text).astype(np.int64),
            "padding_mask": real.astype(np.int64),
            "position_ids": np.where(real, index - first, 0),
            "byte_count": counts.bytes(stream[index + 1], real)[:, None],
            "word_count": counts.words(stream[index], stream[index + 1], real)[:, None],
            "source": sources[document[:, 0]][:, None],
            "length": buckets[lengths][:, None],
        }


def render_example(
    example: Example, entries: Sequence[bytes], end_of_text: int
) -> list[RenderedToken]:
    """The real tokens of a window as text; neighboring documents have different parts.

    A token that is an incomplete character becomes replacement characters.
    """
    names = {end_of_text: "<|endoftext|>"}
    real = int(example["padding_mask"].sum())
    tokens, labels = example["token_ids"][:real].tolist(), example["label_ids"][:real].tolist()

    def name(token: int) -> str:
        return names.get(token) or entries[token].decode(errors="replace")

    rendered: list[RenderedToken] = []
    document = 0
    for place, (token, label) in enumerate(zip(tokens, labels, strict=True)):
        ends = token == end_of_text
        document += ends
        rendered.append(
            RenderedToken(
                text=name(token),
                label=None if tokens[place + 1 : place + 2] == [label] else name(label),
                part="special" if ends else "second" if document % 2 else "first",
            )
        )
    return rendered


class _Counts:
    """Counts bytes and words of tokens.

    A word begins at a byte that is not white space, at the start or after white space.
    """

    def __init__(self, entries: Sequence[bytes]) -> None:
        self._bytes = np.array([len(entry) for entry in entries])
        self._after_space = np.array([len(entry.split()) for entry in entries])
        begins_word = np.array([entry[:1].strip() != b"" for entry in entries])
        self._after_letter = self._after_space - begins_word
        self._ends_word = np.array([entry[-1:].strip() != b"" for entry in entries])

    def bytes(self, labels: np.ndarray, real: np.ndarray) -> np.ndarray:
        """UTF-8 bytes of each window's labels, int64 `[windows]`."""
        return (self._bytes[labels] * real).sum(axis=1)

    def words(self, previous: np.ndarray, labels: np.ndarray, real: np.ndarray) -> np.ndarray:
        """Words that begin in each window's labels, int64 `[windows]`."""
        begun = np.where(
            self._ends_word[previous], self._after_letter[labels], self._after_space[labels]
        )
        return (begun * real).sum(axis=1)
