"""What `predict` prints: which model answered, and its answers for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from models.questions import Answer
from pipeline.predict import QUESTIONS, QuestionName
from pipeline.terminal.output import Console

if TYPE_CHECKING:
    from pipeline.answering_model import AnsweringModel


def print_model(model: AnsweringModel) -> None:
    """Prints on standard error which model answered."""
    console = Console(stderr=True)
    console.print(Text(f"answered by {model}", "dim"), soft_wrap=True)


def print_answers(question: QuestionName, answers: Sequence[Answer]) -> None:
    """Prints answers for a reader; `--json` prints all numbers in full.

    Args:
        question: what was asked.
        answers: what `pipeline.predict.predict` returned.
    """
    console = Console()
    for answer in answers:
        rendered = QUESTIONS[question].render(answer)
        console.print(Text.assemble((rendered.bold, "bold"), rendered.text), soft_wrap=True)
        for line in rendered.details:
            console.print(f"    {line}", soft_wrap=True)
