"""GPT's questions: arguments and answers of `score` and `generate`."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import ConfigError
from models.gpt.questions import GENERATE, SCORE, Generation


def test_padding_has_no_score() -> None:
    outputs = {
        "log_probabilities": np.array([[-1.5, -0.5, 0.0]]),
        "tokens": np.array([[b"a", "Ġb".encode(), b""]]),
        "total": np.array([-2.0]),
        "perplexity": np.array([2.75]),
        "token_count": np.array([2]),
    }
    answer = SCORE.read(["a b"], outputs, 0)
    assert answer["tokens"] == ["a", "Ġb"]
    assert answer["log_probabilities"] == [-1.5, -0.5]
    assert SCORE.render(answer).details == ["2 tokens, perplexity 2.8, log-probability -2.00"]


def test_every_prompt_gets_the_same_options() -> None:
    assert GENERATE.arguments(["a", "b"], Generation(length=3, stop=".")) == {
        "prompt": ["a", "b"],
        "length": [3, 3],
        "temperature": [0.8, 0.8],
        "top_k": [0, 0],
        "top_p": [0.95, 0.95],
        "seed": [0, 0],
        "stop": [".", "."],
    }


def test_an_answer_says_why_the_continuation_ended() -> None:
    outputs = {
        "text": np.array([b" people"]),
        "token_count": np.array([3]),
        "finish_reason": np.array([b"context_full"]),
        "prompt_tokens_cut": np.array([7]),
    }
    rendered = GENERATE.render(GENERATE.read(["We"], outputs, 0))
    assert (rendered.bold, rendered.text) == ("We", " people")
    assert rendered.details == [
        "The prompt is longer than the model's context: its first 7 tokens were cut.",
        "The context was full after 3 new tokens.",
    ]


def test_the_error_names_an_option_that_is_out_of_range() -> None:
    Generation(length=1, temperature=0.0, top_p=1.0, seed=-1).check()
    with pytest.raises(ConfigError, match=r"top_p is 1\.5") as refused:
        Generation(top_p=1.5).check()
    assert refused.value.where == "--top-p"
