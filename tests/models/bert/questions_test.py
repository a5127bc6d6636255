"""BERT's questions: arguments, answers and refusals of `fill-mask` and `next-sentence`."""

from __future__ import annotations

import numpy as np
import pytest

from models.bert.questions import FILL_MASK, NEXT_SENTENCE
from models.errors import ConfigError

OUTPUTS = {
    "words": np.array([[[b"bank", b"\xc3\xa9"], [b"", b""]]]),
    "probabilities": np.array([[[0.75, 0.25], [0.0, 0.0]]]),
    "mask_count": np.array([1]),
    "cut_mask_count": np.array([2]),
    "token_limit": np.array([64]),
}


def test_an_answer_has_the_masks_that_were_read() -> None:
    answer = FILL_MASK.read(["[MASK] [MASK] [MASK]"], OUTPUTS, 0)
    choices = [{"word": "bank", "probability": 0.75}, {"word": "é", "probability": 0.25}]
    assert answer == {
        "text": "[MASK] [MASK] [MASK]",
        "masks": [choices],
        "cut_masks": [2, 3],
        "token_limit": 64,
    }
    assert FILL_MASK.render(answer).details == [
        "bank 0.750  é 0.250",
        "the 2nd to the 3rd [MASK] lie beyond the 64 tokens that the model reads",
    ]


def test_a_text_and_an_answer_without_any_mask_are_refused() -> None:
    FILL_MASK.check_texts(["a [MASK]"])
    with pytest.raises(ConfigError, match=r"there is no .MASK. to fill"):
        FILL_MASK.check_texts(["a [MASK]", "none"])
    FILL_MASK.check_answer({"text": "", "masks": [[]], "token_limit": 64})
    with pytest.raises(ConfigError, match="within the 64 tokens"):
        FILL_MASK.check_answer({"text": "", "masks": [], "token_limit": 64})


def test_pairs_of_texts() -> None:
    texts = ["a", "b", "c", "d"]
    assert NEXT_SENTENCE.arguments(texts, None) == {"first": ["a", "c"], "second": ["b", "d"]}
    answer = NEXT_SENTENCE.read(["c", "d"], {"probability": np.array([0.25, 0.5])}, 1)
    assert answer == {"first": "c", "second": "d", "probability": 0.5}
    assert NEXT_SENTENCE.render(answer).details == ["follows with probability 0.500"]
