"""Questions to a served model: how texts become a signature's arguments, and its outputs an answer.

`python -m pipeline predict` asks them. A family lists its questions in `Family.questions`; its own
are in `models/<family>/questions.py`. Imports no TensorFlow.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

_MAX_TOKENS = 12
_MAX_VALUES = 6
"""How much of the vectors of `embed` is shown."""

Answer = dict[str, Any]
"""An answer as plain values, which JSON can hold."""


class RenderedAnswer(NamedTuple):
    """An answer as a reader sees it.

    Attributes:
        bold: the beginning of the first line, what was asked.
        text: the rest of the first line.
        details: the lines below.
    """

    bold: str
    text: str = ""
    details: Sequence[str] = ()


class Question(abc.ABC):
    """A question to a served model.

    Attributes:
        name: its name on the command line.
        signature: the signature of the SavedModel that answers it.
        summary: what it asks for, a phrase.
        options: a frozen dataclass of settings with defaults, or None. Its fields are options of
            the command line; its method `check` raises ConfigError for a value out of its range.
        texts_per_answer: how many texts belong to one answer.
    """

    name: ClassVar[str]
    signature: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[type | None] = None
    texts_per_answer: ClassVar[int] = 1

    def check_texts(self, texts: Sequence[str]) -> None:  # noqa: B027  any text, by default
        """Checks texts before a model is loaded.

        Raises:
            ConfigError: the question cannot be asked about a text.
        """

    def arguments(self, texts: Sequence[str], options: Any) -> Mapping[str, Sequence[Any]]:
        """The signature's arguments by name, a value for each answer.

        Args:
            texts: those that the answers are about.
            options: an instance of the class `options`, None if there is none.
        """
        return {"texts": texts}

    @abc.abstractmethod
    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """One answer.

        Args:
            texts: the texts of this answer.
            outputs: the signature's outputs, NumPy arrays `[answers, …]`.
            row: the number of the answer.
        """

    def check_answer(self, answer: Answer) -> None:  # noqa: B027  any answer, by default
        """Checks an answer after it was printed.

        Raises:
            ConfigError: it says nothing about its text.
        """

    @abc.abstractmethod
    def render(self, answer: Answer) -> RenderedAnswer:
        """The answer for a reader."""


class Embed(Question):
    """The tokens of a text and their vectors in the last layer. Every family answers it."""

    name = "embed"
    signature = "hidden_states"
    summary = "tokens and the last layer's vectors"

    def arguments(self, texts: Sequence[str], options: Any) -> Mapping[str, Sequence[Any]]:
        """See `models.text_vectors.vector_signatures`."""
        return {"texts": texts, "layers": [[-1]] * len(texts)}

    def read(self, texts: Sequence[str], outputs: Mapping[str, Any], row: int) -> Answer:
        """The tokens of the text, special tokens included, and a vector for each."""
        real = int(outputs["padding_mask"][row].sum())
        return {
            "text": texts[0],
            "tokens": [token.decode() for token in outputs["tokens"][row][:real]],
            "vectors": outputs["hidden_states"][row, 0, :real].tolist(),
        }

    def render(self, answer: Answer) -> RenderedAnswer:
        """The first tokens and the first values of their vectors."""
        tokens, vectors = answer["tokens"], answer["vectors"]
        details = [f"{len(tokens)} tokens, vectors of {len(vectors[0])} dimensions"]
        for token, vector in list(zip(tokens, vectors, strict=True))[:_MAX_TOKENS]:
            values = " ".join(f"{value:+.2f}" for value in vector[:_MAX_VALUES])
            details.append(f"{token:16} {values} …")
        if len(tokens) > _MAX_TOKENS:
            details.append("…")
        return RenderedAnswer(answer["text"], details=details)


EMBED = Embed()
