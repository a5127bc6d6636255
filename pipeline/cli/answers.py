"""What `predict` prints: which model answered, and its answers for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from pipeline.terminal.output import Console

if TYPE_CHECKING:
    from pipeline.answering_model import AnsweringModel

_MAX_TOKENS = 12
_MAX_VALUES = 6
"""How much of the vectors of `embed` is shown."""


def print_model(model: AnsweringModel) -> None:
    """Prints on standard error which model answered."""
    console = Console(stderr=True)
    console.print(Text(f"answered by {model}", "dim"), soft_wrap=True)


def print_answers(task: str, answers: Sequence[Mapping[str, Any]]) -> None:
    """Prints predictions for a reader; `--json` prints all numbers in full.

    Args:
        task: see `pipeline.predict.Task`.
        answers: what `pipeline.predict.predict` returned for the task.
    """
    console = Console()
    for answer in answers:
        heading, *details = _LINES[task](answer)
        console.print(heading, soft_wrap=True)
        for line in details:
            console.print(f"    {line}", soft_wrap=True)


def _fill_mask(answer: Mapping[str, Any]) -> list[Text | str]:
    lines: list[Text | str] = [Text(answer["text"], "bold")]
    for choices in answer["masks"]:
        lines.append("  ".join(f"{each['word']} {each['probability']:.3f}" for each in choices))
    if answer["cut_masks"]:
        lines.append(_cut_masks(answer))
    return lines


def _cut_masks(answer: Mapping[str, Any]) -> str:
    """Says which [MASK] of a text lie beyond the tokens that the model reads."""
    cut = answer["cut_masks"]
    first, last = _ordinal(cut[0]), _ordinal(cut[-1])
    which = f"the {first} to the {last} [MASK] lie" if len(cut) > 1 else f"the {first} [MASK] lies"
    return f"{which} beyond the {answer['token_limit']} tokens that the model reads"


def _ordinal(number: int) -> str:
    last_digit = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(last_digit, "th")


def _score(answer: Mapping[str, Any]) -> list[Text | str]:
    return [
        Text(answer["text"], "bold"),
        f"{len(answer['tokens'])} tokens, perplexity {answer['perplexity']:.1f}, "
        f"log-probability {answer['total']:.2f}",
    ]


def _generate(answer: Mapping[str, Any]) -> list[Text | str]:
    lines: list[Text | str] = [Text.assemble((answer["prompt"], "bold"), answer["text"])]
    if cut := answer["prompt_tokens_cut"]:
        lines.append(
            f"The prompt is longer than the model's context: its first {cut} tokens were cut."
        )
    if answer["finish_reason"] == "context_full":
        lines.append(f"The context was full after {answer['token_count']} new tokens.")
    return lines


def _next_sentence(answer: Mapping[str, Any]) -> list[Text | str]:
    return [
        Text(f"{answer['first']} / {answer['second']}", "bold"),
        f"follows with probability {answer['probability']:.3f}",
    ]


def _embed(answer: Mapping[str, Any]) -> list[Text | str]:
    tokens, vectors = answer["tokens"], answer["vectors"]
    lines: list[Text | str] = [
        Text(answer["text"], "bold"),
        f"{len(tokens)} tokens, vectors of {len(vectors[0])} dimensions",
    ]
    for token, vector in list(zip(tokens, vectors, strict=True))[:_MAX_TOKENS]:
        lines.append(f"{token:16} {' '.join(f'{value:+.2f}' for value in vector[:_MAX_VALUES])} …")
    if len(tokens) > _MAX_TOKENS:
        lines.append("…")
    return lines


_LINES = {
    "fill-mask": _fill_mask,
    "score": _score,
    "generate": _generate,
    "next-sentence": _next_sentence,
    "embed": _embed,
}
"""Task → function that returns the lines to print for one answer; the first is the heading."""
