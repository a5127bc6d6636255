"""A model's example predictions: its answers to prompts from held-out text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from components.reporting.formatting import to_text
from components.reporting.prompts import FOLLOWS, Prompt, Prompts

Signature = Callable[..., Mapping[str, np.ndarray]]
"""A signature of an exported model: takes lists by keyword, returns arrays by name."""

_GENERATION = {"length": 32, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 0, "stop": ""}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The model's answers to one prompt.

    Attributes:
        signature: the signature that was called.
        texts: its inputs.
        answers: (text or label, probability); the probability of generated text is NaN.
        expected: what the original text has there.
    """

    signature: str
    texts: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]
    expected: str = ""


def example_predictions(
    prompts: Prompts,
    fill_mask: Signature | None = None,
    next_sentence: Signature | None = None,
    generate: Signature | None = None,
) -> list[Prediction]:
    """The model's predictions for the prompts that it has a signature for.

    Args:
        prompts: the prompts.
        fill_mask: called as `fill_mask(texts=[...])`; returns `words` and `probabilities`
            `[batch, masks, k]`, with the word "" for a mask beyond the model's longest input.
        next_sentence: called as `next_sentence(first=[...], second=[...])`; returns `probability`
            `[batch]`.
        generate: called as `generate(prompt=[...], length=[...], ...)`; returns `text` `[batch]`.
    """
    return [
        *(_fill_masks(fill_mask, prompts.masked) if fill_mask and prompts.masked else ()),
        *(_judge_pairs(next_sentence, prompts.pairs) if next_sentence and prompts.pairs else ()),
        *(_continue(generate, prompts.beginnings) if generate and prompts.beginnings else ()),
    ]


def _fill_masks(fill_mask: Signature, prompts: Sequence[Prompt]) -> list[Prediction]:
    outputs = fill_mask(texts=[text for prompt in prompts for text in prompt.texts])
    # A prompt has one mask. The second axis is empty if the model reads no mask of any text.
    words = np.asarray(outputs["words"])[:, :1]
    probabilities = np.asarray(outputs["probabilities"])[:, :1]
    predictions = []
    for prompt, row, shares in zip(prompts, words, probabilities, strict=True):
        answers = tuple(
            (to_text(word), float(probability))
            for word, probability in zip(row.ravel(), shares.ravel(), strict=True)
            if word
        )
        if answers:
            predictions.append(Prediction("fill_mask", prompt.texts, answers, prompt.expected))
    return predictions


def _judge_pairs(next_sentence: Signature, prompts: Sequence[Prompt]) -> list[Prediction]:
    first, second = map(list, zip(*(prompt.texts for prompt in prompts), strict=True))
    outputs = next_sentence(first=first, second=second)
    probabilities = np.asarray(outputs["probability"]).reshape(len(prompts))
    return [
        Prediction("next_sentence", prompt.texts, ((FOLLOWS, float(value)),), prompt.expected)
        for prompt, value in zip(prompts, probabilities, strict=True)
    ]


def _continue(generate: Signature, prompts: Sequence[Prompt]) -> list[Prediction]:
    beginnings = [text for prompt in prompts for text in prompt.texts]
    settings = {name: [value] * len(beginnings) for name, value in _GENERATION.items()}
    texts = np.asarray(generate(prompt=beginnings, **settings)["text"])
    return [
        Prediction(
            "generate",
            prompt.texts,
            ((f"{beginning}{to_text(text)}", math.nan),),
            prompt.expected,
        )
        for prompt, beginning, text in zip(prompts, beginnings, texts, strict=True)
    ]
