from models.elmo.objective import ElmoObjective
from tests.testdata.little_elmo import CONFIG, tokenizer


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
