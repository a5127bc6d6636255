"""`--set`: values are checked by type, other fields stay, and mistakes get suggestions."""

import dataclasses
from typing import Any

import pytest

from components.tuning_config import Hyperparameter
from models.errors import ConfigError
from pipeline.overrides import apply_overrides
from pipeline.recipes import bert_tiny


def flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in fields.items():
        leaves |= (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return leaves


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("training.steps=5", 5),
        ("training.optimizer.learning_rate=1e-4", 1e-4),
        ("training.jit_compile=True", True),
        ("vocabulary.file=my words.txt", "my words.txt"),
        ("validation.languages=en,de", ("en", "de")),
        ("beam.args=--a=1,--b", ("--a=1", "--b")),
        ("ingestion.lang=zh", "zh"),
    ],
)
def test_one_field_is_set_with_the_type_of_the_field(pair: str, value: Any) -> None:
    before = flat(dataclasses.asdict(bert_tiny()))
    after = flat(dataclasses.asdict(apply_overrides(bert_tiny(), [pair])))
    key = pair.partition("=")[0]
    assert {name for name in after if after[name] != before[name]} == {key}
    assert after[key] == value
    assert type(after[key]) is type(value)


def test_a_search_space_is_set() -> None:
    pairs = [
        "ingestion.eval_share=0.1",
        "tuning.trials=4",
        "tuning.algorithm=bayesian",
        "tuning.space=training.optimizer.learning_rate:1e-4..1e-2:log,training.batch_size:8/16",
        "tuning.steps=7",
    ]
    tuning = apply_overrides(bert_tiny(), pairs).tuning
    assert (tuning.trials, tuning.algorithm, tuning.steps) == (4, "bayesian", 7)
    assert tuning.space == (
        Hyperparameter("training.optimizer.learning_rate", low=1e-4, high=1e-2, log=True),
        Hyperparameter("training.batch_size", (8, 16)),
    )
    assert apply_overrides(bert_tiny(), [*pairs, "tuning.space="]).tuning.space == ()


@pytest.mark.parametrize(("pair", "value"), [("vocabulary.file=None", None), ("beam.args=", ())])
def test_a_field_can_be_emptied(pair: str, value: Any) -> None:
    filled = apply_overrides(bert_tiny(), ["vocabulary.file=a.txt", "beam.args=--a"])
    key = pair.partition("=")[0]
    assert flat(dataclasses.asdict(apply_overrides(filled, [pair])))[key] == value


def test_pairs_are_checked_together_in_any_order() -> None:
    longer = ["model.objective.sequence_length=128", "model.objective.max_predictions_per_seq=20"]
    pairs = [*longer, "model.backbone.max_length=128", "training.batch_size=6"]
    for order in (pairs, pairs[::-1]):
        config = apply_overrides(bert_tiny(), order)
        assert config.model.objective.sequence_length == 128
        assert config.training.batch_size == 6
    with pytest.raises(ConfigError, match="positions are fewer than 19"):
        apply_overrides(bert_tiny(), [pairs[0], pairs[2]])


def test_later_pairs_win() -> None:
    config = apply_overrides(bert_tiny(), ["training.steps=1", "training.steps=2"])
    assert config.training.steps == 2


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("trainng.steps=5", "did you mean training.steps?"),
        ("steps=5", "did you mean training.steps or tuning.steps?"),
        ("training.optimizer.learningrate=1", "did you mean training.optimizer.learning_rate"),
        ("training.optimizer=adam", "training.optimizer.learning_rate"),
        ("qqqq=1", "python -m pipeline recipes"),
        ("training.steps=many", "give a whole number above 0 and up to 2147483647; it is 20 now"),
        ("training.steps=1.5", "give a whole number"),
        ("training.jit_compile=perhaps", "give one of auto, True, False"),
        ("model.family=word2vec", "give one of bert"),
        ("training.steps", "has no value"),
        ("name=mine", "use --name"),
        ("training.accumulation=2", "write --set training.gradient_accumulation_steps=2"),
        ("tuning.space=training.batch_size", "write FIELD:VALUE/VALUE/"),
        ("tuning.trials=-1", "tuning.trials"),
        ("tuning.algorithm=hyperband", "give one of random, bayesian, grid"),
    ],
)
def test_a_mistake_is_refused_with_a_remedy(pair: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        apply_overrides(bert_tiny(), [pair])
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 5
