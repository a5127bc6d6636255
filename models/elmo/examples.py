"""ELMo's training examples: windows of streams of sentences, in both directions."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.elmo.config import ElmoObjectiveConfig
from models.examples import length_buckets
from models.objective import (
    Example,
    Examples,
    Feature,
    FeatureSpec,
    RenderedToken,
    TokenizedDocument,
)
from models.tokenizers.character import (
    SENTENCE_END,
    SENTENCE_START,
    SPECIAL_TOKENS,
    WORD_LENGTH,
    hash_rows,
    pack_rows,
    unpack_rows,
)

_BLOCK = 1_024  # windows made, or rows compared, at a time, which bounds the memory
_MARKER_IDS = {role: number for number, role in enumerate(SPECIAL_TOKENS)}


def feature_spec(config: ElmoObjectiveConfig) -> FeatureSpec:
    """The schema of a window."""
    time, words = (config.unroll_steps,), (config.unroll_steps, WORD_LENGTH)
    return {
        "character_ids": Feature(
            words, "int64", "words in order, <S> before each sentence", unpack_rows
        ),
        "backward_character_ids": Feature(
            words, "int64", "words of each sentence from its last, </S> before it", unpack_rows
        ),
        "padding_mask": Feature(time, "int64", "1 for a real word"),
        "first_ids": Feature((2,), "int64", "the softmax's id of each direction's first word"),
        "next_ids": Feature(time, "int64", "the word that follows each of character_ids"),
        "previous_ids": Feature(time, "int64", "the word before each of backward_character_ids"),
        "stream": Feature((1,), "int64", "the number of the window's stream"),
        "continues": Feature((1,), "int64", "0 for a stream's first window, else 1"),
        "source": Feature((1,), "string", "source of the document that the window begins in"),
        "length": Feature((1,), "string", "bucket of the number of real words, as 001-032"),
    }


def make_examples(
    documents: Sequence[TokenizedDocument],
    config: ElmoObjectiveConfig,
    word_ids: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    tally: collections.Counter[str],
) -> Iterator[Examples]:
    """Windows of one group; a pure function of its arguments.

    The group's documents, in random order, are one sequence of sentences, read in both directions:
    forwards as <S> w1 … wn to predict w1 … wn </S>, backwards as </S> wn … w1 to predict wn … w1
    <S>, so that a sentence has the same positions in both. The sequence is divided into streams of
    equal length, and each stream into windows. Windows come in rounds of one window of each stream;
    in the last round some windows may be empty, so that every round is complete.

    Args:
        documents: the group.
        config: the length of windows and the number of streams.
        word_ids: rows of characters `[n, 50]` → the softmax's ids `[n]`.
        rng: the only source of randomness.
        tally: receives the counts `documents_without_text` and `empty_windows`.
    """
    tally["documents_without_text"] += sum(not len(document.lengths) for document in documents)
    nonempty = [document for document in documents if len(document.lengths)]
    if not nonempty:
        return
    order = [nonempty[number] for number in rng.permutation(len(nonempty))]
    sequence = _Sequence(order, word_ids)
    time, streams = config.unroll_steps, config.num_streams
    windows = -(-len(sequence.forward) // time)
    # If the windows do not divide evenly, each of the first streams has one window more.
    per_stream = windows // streams + (np.arange(streams) < windows % streams)
    first = np.cumsum(per_stream) - per_stream
    rounds = per_stream.max()
    tally["empty_windows"] += int(rounds * streams - windows)
    buckets = length_buckets(time)
    sources = np.array([document.source.encode() for document in order], object)
    for begin in range(0, rounds * streams, _BLOCK):
        numbers = np.arange(begin, min(begin + _BLOCK, rounds * streams))
        round_number, stream = np.divmod(numbers, streams)
        exists = round_number < per_stream[stream]
        window = np.where(exists, first[stream] + round_number, windows)
        index = window[:, None] * time + np.arange(time)
        real = index < len(sequence.forward)
        index = np.where(real, index, 0)
        document = np.searchsorted(sequence.begins, index[:, 0], side="right") - 1
        yield {
            **sequence.words_of(index, real),
            "stream": stream[:, None],
            "continues": (round_number > 0).astype(np.int64)[:, None],
            "source": sources[document][:, None],
            "length": buckets[real.sum(axis=1)][:, None],
        }


def read_ids(features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """The softmax's ids of the words that each direction reads, int `[batch, time]` each.

    A direction reads the word that it has predicted one position earlier. After the marker that
    ends a sentence it reads the marker that begins the next sentence. So a window stores only the
    id of the first word. At padding ids have no meaning.

    Args:
        features: the parsed features of the spec.

    Returns:
        The ids of the forward and of the backward direction.
    """
    first = tf.convert_to_tensor(features["first_ids"])
    start, end = (tf.constant(_MARKER_IDS[role], first.dtype) for role in ("start", "end"))

    def read(direction: int, labels: str, last: tf.Tensor, next_first: tf.Tensor) -> tf.Tensor:
        predicted = tf.convert_to_tensor(features[labels])[:, :-1]
        rest = tf.where(predicted == last, next_first, predicted)
        return tf.concat([first[:, direction : direction + 1], rest], axis=1)

    return read(0, "next_ids", end, start), read(1, "previous_ids", start, end)


def render_example(
    example: Example, words: Callable[[np.ndarray], Sequence[str]], softmax: Sequence[str]
) -> list[list[RenderedToken]]:
    """The real words of a window, forwards and backwards; neighboring sentences have other parts.

    Args:
        example: the example.
        words: rows of characters `[n, 50]` → words.
        softmax: the words of the softmax by id.
    """
    real = int(example["padding_mask"].sum())

    def row(characters: str, label_ids: str) -> list[RenderedToken]:
        read = words(example[characters][:real])
        markers = np.isin(example[characters][:real, 1], (SENTENCE_START[1], SENTENCE_END[1]))
        labels = [softmax[word] for word in example[label_ids][:real]]
        rendered: list[RenderedToken] = []
        sentence = 0
        for place, (word, label, marker) in enumerate(zip(read, labels, markers, strict=True)):
            sentence += marker
            rendered.append(
                RenderedToken(
                    text=f" {word}",
                    label=None if read[place + 1 : place + 2] == [label] else label,
                    part="special" if marker else "second" if sentence % 2 else "first",
                )
            )
        return rendered

    return [row("character_ids", "next_ids"), row("backward_character_ids", "previous_ids")]


class _Sequence:
    """The sentences of documents, one after the other, in both directions.

    Attributes:
        words: the distinct words and the two markers, packed, object `[words]`.
        ids: their ids in the softmax, int64 `[words]`.
        forward, next: the words that are read and the words to predict, as indices of `words`,
            int32 `[positions]`.
        backward, previous: the same for the backward direction.
        begins: the position at which each document begins, int64 `[documents]`.
    """

    def __init__(
        self,
        documents: Sequence[TokenizedDocument],
        word_ids: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        texts = (document.tokens for document in documents)
        markers = SENTENCE_START[None], SENTENCE_END[None]
        characters = np.concatenate([*texts, *markers], dtype=np.int16, casting="same_kind")
        # Distinct words only: all words of a group would take 50 numbers each, in both directions.
        kept, places = _distinct(characters)
        rows = characters[kept]
        self.words = pack_rows(rows)
        self.ids = word_ids(rows).astype(np.int64)
        words, (start, end) = places[:-2], places[-2:]
        lengths = np.concatenate([document.lengths for document in documents])
        ends = np.cumsum(lengths)
        self.forward = np.insert(words, ends - lengths, start)
        self.next = np.insert(words, ends, end)
        # Each sentence reversed: its k-th word becomes its k-th from the end.
        sizes = lengths + 1
        stops = np.cumsum(sizes)
        mirror = np.repeat(2 * stops - sizes - 1, sizes) - np.arange(stops[-1])
        self.backward = self.next[mirror]
        self.previous = self.forward[mirror]
        sentences = np.array([len(document.lengths) for document in documents])
        first_sentences = np.cumsum(sentences) - sentences
        self.begins = (stops - sizes)[first_sentences]

    def words_of(self, index: np.ndarray, real: np.ndarray) -> Examples:
        """The features of windows that hold words and ids.

        Args:
            index: the positions of each window in the sequence, `[windows, time]`.
            real: bool `[windows, time]`, False for padding.
        """
        forward, backward = self.forward[index], self.backward[index]
        first = np.stack([forward[:, 0], backward[:, 0]], axis=1)
        return {
            "character_ids": np.where(real, self.words[forward], b""),
            "backward_character_ids": np.where(real, self.words[backward], b""),
            "padding_mask": real.astype(np.int64),
            "first_ids": self.ids[first] * real[:, :1],
            "next_ids": self.ids[self.next[index]] * real,
            "previous_ids": self.ids[self.previous[index]] * real,
        }


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of one row of each distinct value, and for each row the number of its value.

    Rows are grouped by a hash and then compared. If two different rows have the same hash, they are
    grouped by their bytes instead, which takes ten times as long.
    """
    odd = np.random.default_rng(0).integers(0, 2**63, WORD_LENGTH, np.uint64) * 2 + 1
    keys: np.ndarray = hash_rows(rows, odd)
    for _ in range(2):
        _, kept, places = np.unique(keys, return_index=True, return_inverse=True)
        places = places.ravel().astype(np.int32)
        distinct = rows[kept]
        blocks = (slice(begin, begin + _BLOCK) for begin in range(0, len(rows), _BLOCK))
        if all(np.array_equal(distinct[places[block]], rows[block]) for block in blocks):
            break
        keys = np.ascontiguousarray(rows).view(f"V{2 * WORD_LENGTH}")[:, 0]
    return kept, places
