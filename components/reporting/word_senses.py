"""One word, two meanings: the vectors of *bank* in a dozen sentences, and how far they part.

The measure is that of Ethayarajh (2019, "How contextual are contextualized word representations?"):
cosines between occurrences of one word, layer by layer. NumPy only.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.errors import ConfigError

WORD = "bank"

SENTENCES: tuple[tuple[str, str], ...] = (
    ("river", "The army crossed the river and made its camp upon the northern bank before night."),
    (
        "money",
        "The company sold its bonds and placed the money in the national bank at once.",
    ),
    ("river", "Boats were tied along the bank of the river during the flood."),
    ("money", "Notes were issued by the bank of the state during the war."),
    ("river", "The bank of the stream was steep, and the water below it was deep."),
    ("money", "The bank of the city was sound, and the credit given by it was good."),
    (
        "river",
        "Settlers built their houses on the west bank of the river, above the water.",
    ),
    (
        "money",
        "Farmers paid their debts to the state bank in gold, with interest on the loans.",
    ),
    ("river", "Trees and grass were planted to keep the bank from washing into the river."),
    ("money", "Laws and rules were passed to keep the bank from lending beyond its capital."),
    (
        "river",
        "When the rains came, the water broke through the bank and covered the farms.",
    ),
    (
        "money",
        "When the panic came, the people ran to the bank and asked for their coin.",
    ),
)
"""(sense, sentence), in pairs of like build: *bank* is the same word of both sentences of a pair,
so that the position alone, which BERT adds to layer 0, cannot tell the senses apart. The two of a
pair are not compared with each other: see `similarities`."""


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """A word's vectors where it occurs.

    Attributes:
        word: the word.
        senses: its meaning in each sentence.
        sentences: the sentences.
        pieces: the tokens that the word was read as, by sentence.
        vectors: float64 `[sentences, layers + 1, width]`, the mean over the word's tokens; layer 0
            is the token layer, before any context.
    """

    word: str
    senses: Sequence[str]
    sentences: Sequence[str]
    pieces: Sequence[tuple[str, ...]]
    vectors: np.ndarray


@dataclasses.dataclass(frozen=True)
class LayerSimilarity:
    """Mean cosines between a word's occurrences at one layer.

    Attributes:
        layer: 0 is the token layer.
        within: mean cosine of two different occurrences of the same sense, by sense.
        between: mean cosine of two occurrences of different senses in sentences of unlike build.
        gap: mean cosine over all occurrences of the same sense, less `between`.
        chance: share of all ways to swap senses within the pairs of sentences whose gap is at least
            as large: an exact permutation test, small where the senses part for real.
    """

    layer: int
    within: Mapping[str, float]
    between: float
    gap: float
    chance: float


def bank_vectors(
    hidden_states: Callable[..., Mapping[str, np.ndarray]],
    layers: int,
    sentences: Sequence[tuple[str, str]] = SENTENCES,
    word: str = WORD,
) -> WordVectors:
    """The word's contextual vectors, the mean over its tokens where it has several.

    Args:
        hidden_states: the exported signature, called as `hidden_states(texts=[...],
            layers=[[...]])`, with the outputs hidden_states `[batch, chosen, time, width]`, tokens,
            starts, limits (bytes of the text) and padding_mask, all `[batch, time]`.
        layers: the model's layers, without the token layer.
        sentences: (sense, sentence) with the word once in each.
        word: the word, found as a whole word whatever its case.

    Raises:
        ConfigError: a sentence lacks the word, or the model read no token of it.
    """
    texts = [sentence for _, sentence in sentences]
    spans = np.array([_find(word, text) for text in texts], dtype=np.int64)
    answer = hidden_states(texts=texts, layers=[list(range(layers + 1))] * len(texts))
    outputs = {name: np.asarray(value) for name, value in answer.items()}
    starts, limits = outputs["starts"], outputs["limits"]
    inside = (starts < spans[:, 1:]) & (limits > spans[:, :1]) & (limits > starts)
    inside &= outputs["padding_mask"].astype(bool)
    counts = inside.sum(axis=1)
    if not counts.all():
        raise ConfigError(
            f"the model read no token of the word {word!r}",
            where=texts[int(np.argmin(counts))],
            remedy="use a shorter sentence: the word may lie beyond the model's longest input",
        )
    hidden = outputs["hidden_states"].astype(np.float64)
    vectors = np.einsum("bltw,bt->blw", hidden, inside / counts[:, None])
    pieces = [
        tuple(map(_text, row[mask])) for row, mask in zip(outputs["tokens"], inside, strict=True)
    ]
    return WordVectors(word, [sense for sense, _ in sentences], texts, pieces, vectors)


def _find(word: str, text: str) -> tuple[int, int]:
    """First and last byte (exclusive) of a whole word."""
    found = re.search(rb"(?i)\b" + re.escape(word.encode()) + rb"\b", text.encode())
    if not found:
        raise ConfigError(
            f"the word {word!r} is not in the sentence",
            where=text,
            remedy="give sentences with the word",
        )
    return found.span()


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def similarities(words: WordVectors) -> list[LayerSimilarity]:
    """Cosines within and between the senses, layer by layer.

    The two sentences of a pair are alike in position and wording, so their vectors are alike
    whatever *bank* means, and they never have the same sense. If they counted, a model that knows
    nothing but the pair would have a gap below 0; without them its gap is exactly 0.

    Args:
        words: sentences 2k and 2k + 1 are a pair of like build, and of two senses. The permutation
            test lists all ways to swap them, so it is meant for about a dozen sentences.
    """
    names = list(dict.fromkeys(words.senses))
    labels = np.array([names.index(sense) for sense in words.senses])
    swapped = _swapped(labels)
    pair = np.arange(len(labels)) // 2
    rows, columns = np.nonzero(pair[:, None] < pair[None, :])
    same = labels[rows] == labels[columns]
    result = []
    for layer in range(words.vectors.shape[1]):
        units = _unit(words.vectors[:, layer])
        cosines = np.sum(units[rows] * units[columns], axis=1)
        within = {
            name: float(cosines[same & (labels[rows] == index)].mean())
            for index, name in enumerate(names)
        }
        between = float(cosines[~same].mean())
        gap = float(cosines[same].mean()) - between
        alike = swapped[:, rows] == swapped[:, columns]
        gaps = alike @ cosines / alike.sum(axis=1) - ~alike @ cosines / (~alike).sum(axis=1)
        chance = float(np.mean(gaps >= gap - 1e-12))  # the senses themselves are one of the ways
        result.append(LayerSimilarity(layer, within, between, gap, chance))
    return result


def _swapped(labels: np.ndarray) -> np.ndarray:
    """The labels with those of each pair swapped or not, in all ways, `[ways, sentences]`."""
    pairs = labels.reshape(-1, 2)
    swap = np.array(list(itertools.product((False, True), repeat=len(pairs))))
    return np.where(swap[:, :, None], pairs[:, ::-1], pairs).reshape(len(swap), -1)


def plane(vectors: np.ndarray) -> np.ndarray:
    """The two principal components of unit vectors, so that distances follow cosines.

    Args:
        vectors: `[points, width]`.

    Returns:
        `[points, 2]`, centred; the sign of each axis makes its largest coordinate positive.
    """
    units = _unit(vectors)
    left, singular, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    points = np.zeros((len(vectors), 2))
    kept = min(2, len(singular))
    points[:, :kept] = (left * singular)[:, :kept]
    largest = points[np.abs(points).argmax(axis=0), np.arange(2)]
    return points * np.where(largest < 0, -1.0, 1.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
