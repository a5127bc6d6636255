"""BERT's questions: words for [MASK], and whether a text follows another. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import ConfigError
from models.questions import Answer, Question, RenderedAnswer

_MASK = "[MASK]"


class FillMask(Question):
    """The most probable words for each [MASK] of a text."""

    name = "fill-mask"
    signature = "fill_mask"
    summary = "words for each [MASK]"

    def check_texts(self, texts: Sequence[str]) -> None:
        """Refuses a text without [MASK]."""
        for text in texts:
            if _MASK not in text:
                raise ConfigError(
                    "there is no [MASK] to fill", where=text[:80], remedy="write [MASK] for a word"
                )

    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """Words for each [MASK] that the model read, and the numbers, from 1, of the others.

        A [MASK] beyond the model's `token_limit` is not read.
        """
        count = int(outputs["mask_count"][row])
        masks = [
            [
                {"word": word.decode(), "probability": float(probability)}
                for word, probability in zip(words, probabilities, strict=True)
            ]
            for words, probabilities in zip(
                outputs["words"][row][:count], outputs["probabilities"][row][:count], strict=True
            )
        ]
        cut = range(count + 1, count + 1 + int(outputs["cut_mask_count"][row]))
        return {
            "text": texts[0],
            "masks": masks,
            "cut_masks": list(cut),
            "token_limit": int(outputs["token_limit"][row]),
        }

    def check_answer(self, answer: Answer) -> None:
        """Refuses an answer in which the model read no [MASK]."""
        if not answer["masks"]:
            raise ConfigError(
                f"no [MASK] lies within the {answer['token_limit']} tokens that the model reads",
                where=answer["text"][:80],
                remedy="shorten the text before its [MASK]",
            )

    def render(self, answer: Answer) -> RenderedAnswer:
        """A line of words for each [MASK]."""
        details = [
            "  ".join(f"{choice['word']} {choice['probability']:.3f}" for choice in choices)
            for choices in answer["masks"]
        ]
        if answer["cut_masks"]:
            details.append(_cut_masks(answer["cut_masks"], answer["token_limit"]))
        return RenderedAnswer(answer["text"], details=details)


class NextSentence(Question):
    """Whether the second text of a pair follows the first."""

    name = "next-sentence"
    signature = "next_sentence"
    summary = "for each two texts, whether the second follows the first"
    texts_per_answer = 2

    def arguments(self, texts: Sequence[str], options: Any) -> Mapping[str, Sequence[Any]]:
        """The first and the second texts."""
        return {"first": texts[::2], "second": texts[1::2]}

    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """The probability that the second text follows."""
        first, second = texts
        probability = float(outputs["probability"][row])
        return {"first": first, "second": second, "probability": probability}

    def render(self, answer: Answer) -> RenderedAnswer:
        """Both texts and the probability."""
        details = [f"follows with probability {answer['probability']:.3f}"]
        return RenderedAnswer(f"{answer['first']} / {answer['second']}", details=details)


FILL_MASK, NEXT_SENTENCE = FillMask(), NextSentence()


def _cut_masks(numbers: Sequence[int], token_limit: int) -> str:
    """Says which [MASK] of a text lie beyond the tokens that the model reads."""
    first, last = _ordinal(numbers[0]), _ordinal(numbers[-1])
    which = f"the {first} [MASK] lies"
    if len(numbers) > 1:
        which = f"the {first} to the {last} [MASK] lie"
    return f"{which} beyond the {token_limit} tokens that the model reads"


def _ordinal(number: int) -> str:
    last_digit = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(last_digit, "th")
