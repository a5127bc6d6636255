"""Tests of GPT's objective."""

from models.gpt.objective import GptObjective
from tests.testdata.little_gpt import CONFIG, tokenizer


def test_a_text_is_not_split() -> None:
    text = "One sentence. Another one.\n\nA paragraph."
    assert GptObjective(CONFIG.objective, tokenizer()).split(text, "en") == [text]
