import dataclasses

import pytest

from models.errors import ConfigError
from models.gpt.backbone import build_backbone
from models.gpt.objective import GptObjective
from tests.testdata.little_gpt import CONFIG, tokenizer


@pytest.mark.parametrize("field", ["sequence_length", "bigram_pairs"])
def test_a_value_that_cannot_work_is_refused(field) -> None:
    config = dataclasses.replace(CONFIG.objective, **{field: 0})
    with pytest.raises(ConfigError, match=f"{field} is 0; the least that works is 1") as error:
        GptObjective(config, tokenizer())
    assert error.value.where == f"model.objective.{field}"


def test_windows_longer_than_the_decoder_are_refused() -> None:
    words = tokenizer()
    objective = GptObjective(dataclasses.replace(CONFIG.objective, sequence_length=25), words)
    with pytest.raises(ConfigError, match="25 tokens do not fit a decoder with 24 positions"):
        objective.build_model(build_backbone(CONFIG.backbone, words))


def test_a_text_is_one_piece() -> None:
    text = "One sentence. Another one.\n\nA paragraph."
    assert GptObjective(CONFIG.objective, tokenizer()).split(text, "en") == [text]
