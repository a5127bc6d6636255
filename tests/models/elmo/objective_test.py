import dataclasses

import pytest

from models.elmo.objective import ElmoObjective
from models.errors import ConfigError
from tests.testdata.little_elmo import CONFIG, tokenizer


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [("unroll", 0, 1), ("streams", 0, 1), ("candidates", -1, 0), ("bigram_pairs", 0, 1)],
)
def test_a_value_that_cannot_work_is_refused(field, value, least) -> None:
    config = dataclasses.replace(CONFIG.objective, **{field: value})
    message = f"{field} is {value}; the least that works is {least}"
    with pytest.raises(ConfigError, match=message) as error:
        ElmoObjective(config, tokenizer())
    assert error.value.where == f"model.objective.{field}"


def test_a_text_is_its_sentences() -> None:
    objective = ElmoObjective(CONFIG.objective, tokenizer())
    assert objective.split("The wind fell. Rain rose.", "en") == ["The wind fell.", "Rain rose."]
    assert objective.split("风停了。下雨了。", "zh") == ["风停了。", "下雨了。"]


def test_the_loss_is_the_mean_of_both_directions() -> None:
    losses = ElmoObjective(CONFIG.objective, tokenizer()).losses()
    assert [(loss.numerator, loss.denominator, loss.weight) for loss in losses] == [
        ("forward_nll_sum", "token_count", 0.5),
        ("backward_nll_sum", "token_count", 0.5),
    ]
