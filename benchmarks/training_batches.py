"""The models and the batches of the training benchmark; both sides import them; needs only NumPy.

The words of a batch are drawn by Zipf's law with a fixed seed: the probability of the word of rank
r, from 0, is proportional to 1 / (r + 2.7).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

Batch = Mapping[str, np.ndarray]

ELMO_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
CHARACTERS, WORD_LENGTH = 262, 50
_WORD_START, _WORD_END, PADDING = 259, 260, 261
_ALPHABET = np.arange(98, 124)  # bytes of a to z, plus 1


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a model and its batches; sizes that a family lacks are 0."""

    batch: int
    time: int
    vocabulary: int
    num_layers: int
    hidden_size: int
    num_heads: int = 0
    masks: int = 0
    """Positions of an example that BERT predicts."""
    units: int = 0
    """Cells of an LSTM layer."""
    num_sampled: int = 0
    """Words that ELMo's softmax samples."""
    dropout: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.batch * self.time


SHAPES: Mapping[str, Shape] = {
    "bert": Shape(16, 128, 30_522, 4, 512, num_heads=8, masks=20, dropout=0.1),
    "gpt": Shape(8, 256, 50_257, 4, 512, num_heads=8),
    "elmo": Shape(64, 20, 50_000, 2, 128, units=1_024, num_sampled=8_192, dropout=0.1),
}
SMALL_SHAPES: Mapping[str, Shape] = {
    "bert": Shape(32, 64, 4_000, 2, 128, num_heads=2, masks=24),
    "gpt": Shape(32, 64, 2_000, 2, 128, num_heads=4),
    "elmo": Shape(24, 24, 8_000, 2, 64, units=128, num_sampled=1_024),
}
"""Sizes close to those of the recipes that `make demo` runs, each on one thread."""
SMALL_ELMO_FILTERS = ((1, 16), (2, 32), (3, 64), (4, 64))


def batches(family: str, count: int, shape: Shape | None = None) -> list[Batch]:
    """Batches of a family as features by name; equal arguments give equal batches."""
    shape = shape or SHAPES[family]
    rng = np.random.default_rng(0)
    make = {"bert": _bert, "gpt": _gpt, "elmo": _elmo}[family]
    return [make(shape, rng, first=number == 0) for number in range(count)]


def step_operations(family: str, batch: Batch) -> float:
    """The minimum number of floating-point operations of a training step on a batch.

    There are two operations per multiply-add. Each matrix product of the forward pass has two more
    in the backward pass (gradients of the inputs and of the weights). With n tokens, hidden size d,
    L layers and vocabulary V, the multiply-adds of the forward pass are:

    - BERT: n L (4 d² + 8 d² + 2 t d) for t tokens per row, and m (d² + V d) for m masked positions.
    - GPT: n L (4 d² + 8 d² + t d), as a token sees half of the row on average, and n V d.
    - ELMo: 2 L n (2 · 4 u d + u d) for u cells in both directions, and 2 n (S + 1) d for S sampled
      words. For each distinct word of the batch, Σ w c · 16 · positions over the filters of width w
      and count c, 2 F² for the highway layer and F d for the projection, with F = Σ c. A filter has
      as many positions as the longest word of the batch has characters; padding adds nothing.
    """
    shape = SHAPES[family]
    n, d, layers, words = shape.tokens, shape.hidden_size, shape.num_layers, shape.vocabulary
    if family == "bert":
        predicted = shape.batch * shape.masks
        adds = n * layers * (12 * d * d + 2 * shape.time * d) + predicted * (d * d + words * d)
    elif family == "gpt":
        adds = n * layers * (12 * d * d + shape.time * d) + n * words * d
    else:
        rows = np.unique(batch["character_ids"].reshape(-1, WORD_LENGTH), axis=0)
        positions = int((rows != PADDING).sum(axis=1).max())
        filters = sum(count for _, count in ELMO_FILTERS)
        word = sum(width * count * 16 * positions for width, count in ELMO_FILTERS)
        adds = len(rows) * (word + 2 * filters**2 + filters * d)
        adds += 2 * layers * n * 9 * shape.units * d + 2 * n * (shape.num_sampled + 1) * d
    return 6.0 * adds


def _zipf(shape: Shape, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    weights = 1.0 / (np.arange(shape.vocabulary) + 2.7)
    return rng.choice(shape.vocabulary, size, p=weights / weights.sum()).astype(np.int32)


def _bert(shape: Shape, rng: np.random.Generator, *, first: bool) -> Batch:
    size = (shape.batch, shape.time)
    positions = [rng.permutation(shape.time)[: shape.masks] for _ in range(shape.batch)]
    half = np.arange(shape.time) >= shape.time // 2
    return {
        "token_ids": _zipf(shape, rng, size),
        "segment_ids": np.tile(half.astype(np.int32), (shape.batch, 1)),
        "padding_mask": np.ones(size, np.int32),
        "mask_positions": np.sort(positions).astype(np.int32),
        "mask_ids": _zipf(shape, rng, (shape.batch, shape.masks)),
        "mask_weights": np.ones((shape.batch, shape.masks), np.float32),
        "next_sentence_label": rng.integers(2, size=(shape.batch, 1)).astype(np.int32),
    }


def _gpt(shape: Shape, rng: np.random.Generator, *, first: bool) -> Batch:
    tokens = _zipf(shape, rng, (shape.batch, shape.time + 1))
    size = (shape.batch, shape.time)
    return {
        "token_ids": tokens[:, :-1],
        "label_ids": tokens[:, 1:],
        "padding_mask": np.ones(size, np.int32),
        "position_ids": np.tile(np.arange(shape.time, dtype=np.int32), (shape.batch, 1)),
        "byte_count": np.full((shape.batch, 1), 4 * shape.time, np.int32),
        "word_count": np.full((shape.batch, 1), shape.time, np.int32),
    }


def _elmo(shape: Shape, rng: np.random.Generator, *, first: bool) -> Batch:
    words = _zipf(shape, rng, (shape.batch, shape.time + 1))
    characters = _characters(shape)
    return {
        "character_ids": characters[words[:, :-1]],
        "backward_character_ids": characters[words[:, :0:-1]],
        "next_ids": words[:, 1:],
        "previous_ids": words[:, -2::-1],
        "padding_mask": np.ones((shape.batch, shape.time), np.int32),
        "stream": np.arange(shape.batch, dtype=np.int32)[:, None],
        "continues": np.full((shape.batch, 1), not first, np.int32),
    }


def _characters(shape: Shape) -> np.ndarray:
    """The character ids of each word, int32 `[words, 50]`: up to 20 letters, more in rare words."""
    rng = np.random.default_rng(1)
    expected = 2 + 1.6 * np.log10(np.arange(shape.vocabulary) + 1)
    lengths = np.clip(np.round(rng.normal(expected, 2)), 1, 20).astype(int)
    rows = np.full((shape.vocabulary, WORD_LENGTH), PADDING, np.int32)
    positions = np.arange(WORD_LENGTH)
    letters = rng.choice(_ALPHABET, rows.shape)
    inside = (positions >= 1) & (positions <= lengths[:, None])
    rows[inside] = letters[inside]
    rows[:, 0] = _WORD_START
    rows[np.arange(shape.vocabulary), lengths + 1] = _WORD_END
    return rows
