"""What the training benchmark trains, and on which batches, of NumPy alone: both sides read it.

The words of a batch are drawn by Zipf's law with a fixed seed: a word of rank r, counted from 0, as
often as 1 / (r + 2.7).
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
    """A model and its batches; what a family has no use for is 0."""

    batch: int
    time: int
    vocabulary: int
    layers: int
    width: int
    heads: int = 0
    masks: int = 0
    """Positions that BERT predicts."""
    units: int = 0
    """Cells of an LSTM."""
    candidates: int = 0
    """Words that ELMo's softmax draws."""
    dropout: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens that a step reads."""
        return self.batch * self.time


SHAPES: Mapping[str, Shape] = {
    "bert": Shape(16, 128, 30_522, 4, 512, heads=8, masks=20, dropout=0.1),
    "gpt": Shape(8, 256, 50_257, 4, 512, heads=8),
    "elmo": Shape(64, 20, 50_000, 2, 128, units=1_024, candidates=8_192, dropout=0.1),
}
SMALL_SHAPES: Mapping[str, Shape] = {
    "bert": Shape(32, 64, 4_000, 2, 128, heads=2, masks=24),
    "gpt": Shape(32, 64, 2_000, 2, 128, heads=4),
    "elmo": Shape(24, 24, 8_000, 2, 64, units=128, candidates=1_024),
}
"""About those of the recipes that `make demo` runs, each on one thread."""
SMALL_ELMO_FILTERS = ((1, 16), (2, 32), (3, 64), (4, 64))


def batches(family: str, count: int, shape: Shape | None = None) -> list[Batch]:
    """Batches of a family, by the names of its features, the same ones every time."""
    shape = shape or SHAPES[family]
    rng = np.random.default_rng(0)
    make = {"bert": _bert, "gpt": _gpt, "elmo": _elmo}[family]
    return [make(shape, rng, first=number == 0) for number in range(count)]


def step_operations(family: str, batch: Batch) -> float:
    """Floating-point operations that a training step on a batch needs at least.

    Two for each multiply-add of a product of matrices, and three such products (values, gradient of
    the inputs, gradient of the weights) for each one forwards. With n tokens, width d, L layers,
    vocabulary V, the multiply-adds forwards are

    - BERT: n L (4 d² + 8 d² + 2 t d) of t tokens a row, and m (d² + V d) of m masked positions;
    - GPT: n L (4 d² + 8 d² + t d), as a token sees half of the row on average, and n V d;
    - ELMo: 2 L n (2 · 4 u d + u d) of u cells in both directions, 2 n (S + 1) d of S candidates,
      and for each distinct word of the batch Σ w c · 16 · places over its filters of width w and
      count c, 2 F² of the highway layer and F d of the projection, with F = Σ c. A filter has as
      many places as the longest word of the batch has characters: padding tells nothing more.
    """
    shape = SHAPES[family]
    n, d, layers, words = shape.tokens, shape.width, shape.layers, shape.vocabulary
    if family == "bert":
        predicted = shape.batch * shape.masks
        adds = n * layers * (12 * d * d + 2 * shape.time * d) + predicted * (d * d + words * d)
    elif family == "gpt":
        adds = n * layers * (12 * d * d + shape.time * d) + n * words * d
    else:
        rows = np.unique(batch["character_ids"].reshape(-1, WORD_LENGTH), axis=0)
        places = int((rows != PADDING).sum(axis=1).max())
        filters = sum(count for _, count in ELMO_FILTERS)
        word = sum(width * count * 16 * places for width, count in ELMO_FILTERS)
        adds = len(rows) * (word + 2 * filters**2 + filters * d)
        adds += 2 * layers * n * 9 * shape.units * d + 2 * n * (shape.candidates + 1) * d
    return 6.0 * adds


def _zipf(shape: Shape, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    chances = 1.0 / (np.arange(shape.vocabulary) + 2.7)
    return rng.choice(shape.vocabulary, size, p=chances / chances.sum()).astype(np.int32)


def _bert(shape: Shape, rng: np.random.Generator, *, first: bool) -> Batch:
    size = (shape.batch, shape.time)
    places = [rng.permutation(shape.time)[: shape.masks] for _ in range(shape.batch)]
    half = np.arange(shape.time) >= shape.time // 2
    return {
        "token_ids": _zipf(shape, rng, size),
        "segment_ids": np.tile(half.astype(np.int32), (shape.batch, 1)),
        "padding_mask": np.ones(size, np.int32),
        "mask_positions": np.sort(places).astype(np.int32),
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
    spelled = _spelled(shape)
    return {
        "character_ids": spelled[words[:, :-1]],
        "backward_character_ids": spelled[words[:, :0:-1]],
        "next_ids": words[:, 1:],
        "previous_ids": words[:, -2::-1],
        "padding_mask": np.ones((shape.batch, shape.time), np.int32),
        "stream": np.arange(shape.batch, dtype=np.int32)[:, None],
        "continues": np.full((shape.batch, 1), not first, np.int32),
    }


def _spelled(shape: Shape) -> np.ndarray:
    """The characters of each word, int32 `[words, 50]`: up to 20 letters, more in rarer ones."""
    rng = np.random.default_rng(1)
    expected = 2 + 1.6 * np.log10(np.arange(shape.vocabulary) + 1)
    lengths = np.clip(np.round(rng.normal(expected, 2)), 1, 20).astype(int)
    rows = np.full((shape.vocabulary, WORD_LENGTH), PADDING, np.int32)
    places = np.arange(WORD_LENGTH)
    letters = rng.choice(_ALPHABET, rows.shape)
    inside = (places >= 1) & (places <= lengths[:, None])
    rows[inside] = letters[inside]
    rows[:, 0] = _WORD_START
    rows[np.arange(shape.vocabulary), lengths + 1] = _WORD_END
    return rows
