"""The question that every family answers, and how its answers are shown."""

from __future__ import annotations

import numpy as np
import pytest

from models.questions import EMBED, RenderedAnswer
from models.registry import FAMILIES


def test_embed_requests_the_last_layer_of_every_text() -> None:
    assert EMBED.arguments(["a", "b"], None) == {"texts": ["a", "b"], "layers": [[-1], [-1]]}


def test_an_answer_has_no_padding() -> None:
    outputs = {
        "hidden_states": np.array([[[[1.0, 2.0], [9.0, 9.0]]]]),
        "tokens": np.array([[b"[CLS]", b""]]),
        "padding_mask": np.array([[1, 0]]),
    }
    answer = EMBED.read(["a"], outputs, 0)
    assert answer == {"text": "a", "tokens": ["[CLS]"], "vectors": [[1.0, 2.0]]}


def test_only_the_first_tokens_and_values_are_shown() -> None:
    answer = {"text": "a", "tokens": ["x"] * 13, "vectors": [[0.25] * 7] * 13}
    rendered = EMBED.render(answer)
    assert rendered.bold == "a"
    assert rendered.details[0] == "13 tokens, vectors of 7 dimensions"
    assert rendered.details[1] == f"{'x':16} {' '.join(['+0.25'] * 6)} …"
    assert rendered.details[-1] == "…"
    assert len(rendered.details) == 14
    few = EMBED.render({"text": "a", "tokens": ["x"], "vectors": [[0.5]]})
    assert few == RenderedAnswer(
        "a", "", ["1 tokens, vectors of 1 dimensions", f"{'x':16} +0.50 …"]
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_questions_with_the_same_name_are_the_same_in_all_families(name: str) -> None:
    questions = {each.name: each for family in FAMILIES.values() for each in family.questions}
    assert EMBED in FAMILIES[name].questions
    assert all(questions[each.name] is each for each in FAMILIES[name].questions)
