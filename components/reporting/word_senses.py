"""How well a model separates two meanings of a word: cosines between its contextual vectors.

The word is *bank*, in a dozen sentences. The measure is that of Ethayarajh (2019, "How contextual
are contextualized word representations?"): cosine similarities between occurrences of one word,
layer by layer. NumPy only.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.reporting.formatting import to_text
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
"""(sense, sentence), in pairs with the same structure: *bank* is at the same position in both
sentences of a pair, so the position, which BERT adds to layer 0, does not reveal the sense. The two
sentences of a pair are not compared with each other; see `similarities`."""


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """The vectors of a word's occurrences.

    Attributes:
        word: the word.
        senses: its sense in each sentence.
        sentences: the sentences.
        pieces: the word's tokens in each sentence.
        vectors: float64 `[sentences, layers + 1, hidden_size]`, the mean over the word's tokens;
            layer 0 is the token layer, without context.
    """

    word: str
    senses: Sequence[str]
    sentences: Sequence[str]
    pieces: Sequence[tuple[str, ...]]
    vectors: np.ndarray


@dataclasses.dataclass(frozen=True)
class LayerSimilarity:
    """Mean cosine similarities between a word's occurrences at one layer.

    Attributes:
        layer: the layer; 0 is the token layer.
        within: mean over two different occurrences of the same sense, by sense.
        between: mean over two occurrences of different senses, in sentences of different pairs.
        gap: mean over all occurrences of the same sense, minus `between`.
        p_value: of an exact permutation test: the share of all ways to swap senses within the pairs
            of sentences whose gap is at least as large. Small if the senses are really separated.
    """

    layer: int
    within: Mapping[str, float]
    between: float
    gap: float
    p_value: float


def word_vectors(
    hidden_states: Callable[..., Mapping[str, np.ndarray]],
    num_layers: int,
    sentences: Sequence[tuple[str, str]] = SENTENCES,
    word: str = WORD,
) -> WordVectors:
    """The word's contextual vectors; the mean over its tokens if it has several.

    Args:
        hidden_states: the exported signature, called as `hidden_states(texts=[...],
            layers=[[...]])`, with the outputs hidden_states `[batch, chosen, time, hidden_size]`
            and tokens, starts, limits (byte offsets) and padding_mask, all `[batch, time]`.
        num_layers: number of the model's layers, without the token layer.
        sentences: (sense, sentence); each sentence has the word once.
        word: the word, which is found as a whole word in upper or lower case.

    Raises:
        ConfigError: a sentence lacks the word, or the model read no token of it.
    """
    texts = [sentence for _, sentence in sentences]
    spans = np.array([_find(word, text) for text in texts], dtype=np.int64)
    signature_outputs = hidden_states(
        texts=texts, layers=[list(range(num_layers + 1))] * len(texts)
    )
    outputs = {name: np.asarray(value) for name, value in signature_outputs.items()}
    starts, limits = outputs["starts"], outputs["limits"]
    in_word = (starts < spans[:, 1:]) & (limits > spans[:, :1]) & (limits > starts)
    in_word &= outputs["padding_mask"].astype(bool)
    counts = in_word.sum(axis=1)
    if not counts.all():
        raise ConfigError(
            f"the model read no token of the word {word!r}",
            where=texts[int(np.argmin(counts))],
            remedy="use a shorter sentence: the word may be beyond the model's longest input",
        )
    hidden = outputs["hidden_states"].astype(np.float64)
    vectors = np.einsum("bltw,bt->blw", hidden, in_word / counts[:, None])
    pieces = [
        tuple(map(to_text, row[mask])) for row, mask in zip(outputs["tokens"], in_word, strict=True)
    ]
    return WordVectors(word, [sense for sense, _ in sentences], texts, pieces, vectors)


def _find(word: str, text: str) -> tuple[int, int]:
    """Byte offsets of a whole word: its begin, and its end (exclusive)."""
    match = re.search(rb"(?i)\b" + re.escape(word.encode()) + rb"\b", text.encode())
    if not match:
        raise ConfigError(
            f"the word {word!r} is not in the sentence",
            where=text,
            remedy="use sentences with the word",
        )
    return match.span()


def similarities(words: WordVectors) -> list[LayerSimilarity]:
    """Mean cosine similarities within and between the senses, layer by layer.

    The two sentences of a pair have the same structure and different senses, so their vectors are
    similar for a reason other than the sense. If they were compared, a model that only recognizes
    the pair would have a negative gap; without them its gap is exactly 0.

    Args:
        words: sentences 2k and 2k + 1 are a pair with different senses. The permutation test lists
            all ways to swap senses, so it is meant for about a dozen sentences.
    """
    names = list(dict.fromkeys(words.senses))
    labels = np.array([names.index(sense) for sense in words.senses])
    permuted = _permutations(labels)
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
        equal = permuted[:, rows] == permuted[:, columns]
        gaps = equal @ cosines / equal.sum(axis=1) - ~equal @ cosines / (~equal).sum(axis=1)
        p_value = float(np.mean(gaps >= gap - 1e-12))  # the actual senses are one permutation
        result.append(LayerSimilarity(layer, within, between, gap, p_value))
    return result


def _permutations(labels: np.ndarray) -> np.ndarray:
    """All permutations that swap the labels within pairs, `[permutations, sentences]`."""
    pairs = labels.reshape(-1, 2)
    swap = np.array(list(itertools.product((False, True), repeat=len(pairs))))
    return np.where(swap[:, :, None], pairs[:, ::-1], pairs).reshape(len(swap), -1)


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """The first two principal components of the unit vectors, whose distances follow cosines.

    Args:
        vectors: `[points, hidden_size]`.

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
