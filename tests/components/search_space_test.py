"""Fields that can be tuned and fields that cannot, and configurations with a trial's values."""

import dataclasses
import json
from typing import Any

import pytest

from components.search_space import (
    configured_values,
    describe_values,
    search_space,
    trial_steps,
    trial_training,
    tunable_fields,
    with_values,
)
from components.tuning_config import Hyperparameter, TuningConfig
from models.bert.config import BertConfig
from models.elmo.config import ElmoConfig
from models.errors import ConfigError
from models.training.config import OptimizerConfig, TrainingConfig

RATE, WARMUP = "training.optimizer.learning_rate", "training.optimizer.warmup_steps"
TRAINING = TrainingConfig(
    steps=1_000, batch_size=8, optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=50)
)


def space(*texts: str, training: TrainingConfig = TRAINING, model: Any = None) -> Any:
    tuning = TuningConfig(2, space=tuple(map(Hyperparameter.parse, texts)))
    return search_space(tuning, model or BertConfig(), training)


def settings(training: TrainingConfig = TRAINING) -> dict[str, Any]:
    parts = {
        "model": dataclasses.asdict(BertConfig()),
        "training": dataclasses.asdict(training),
    }
    return {
        "family": "bert",
        **{name: json.dumps(part) for name, part in parts.items()},
        "config": json.dumps({**parts, "examples": {"seed": 0}}),
    }


def test_without_a_space_the_learning_rate_and_the_warmup_are_tuned() -> None:
    rate, warmup = space()
    assert (rate.field, rate.log) == (RATE, True)
    assert (rate.low, rate.high) == pytest.approx((2e-4, 5e-3))
    assert (warmup.field, warmup.low, warmup.high, warmup.log) == (WARMUP, 0, 200, False)
    assert configured_values((rate, warmup), settings()) == {RATE: 1e-3, WARMUP: 50}


def test_the_default_space_contains_the_configured_warmup() -> None:
    training = dataclasses.replace(TRAINING, steps=60)
    assert space(training=training)[1].high == 50


def test_a_grid_search_needs_values() -> None:
    with pytest.raises(ConfigError, match="the default search space has ranges"):
        search_space(TuningConfig(2, algorithm="grid"), BertConfig(), TRAINING)


@pytest.mark.parametrize(
    "text",
    [
        "training.batch_size:8/16",
        "training.batch_size:4..16:log",
        "training.optimizer.kind:adamw/lamb",
        "training.optimizer.bias_correction:True/False",
        "training.optimizer.beta_2:0.95/0.999",
        "training.optimizer.weight_decay:0/0.01",
        "model.backbone.dropout:0..0.3",
    ],
)
def test_fields_that_can_be_tuned(text: str) -> None:
    assert space(text) == (Hyperparameter.parse(text),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model.objective.mask_prob:0.1/0.2", "all trials share the examples"),
        ("model.tokenizer.vocabulary_size:100/200", "all trials share the examples"),
        ("model.family:bert/gpt", "all trials share the examples"),
        ("ingestion.test_share:0.1/0.2", "all trials share the examples"),
        ("examples.seed:1/2", "all trials share the examples"),
        ("model.backbone.num_layers:2/4", "a model of another shape"),
        ("training.steps:10/20", "trials that differ in it cannot be compared"),
        ("training.seed:1/2", "trials that differ in it cannot be compared"),
        ("training.optimizer.exclude_from_weight_decay:bias/gamma", "cannot be tuned"),
        ("training.optimizer.learningrate:1/2", "has no field"),
        ("training.optimizer:1/2", "has no field"),
        ("model.backbone.width:1/2", "has been renamed"),
        ("beam.workers:1/2", "has no field"),
        ("training.batch_size:8.5/16", "cannot be 8.5"),
        ("training.batch_size:8/many", "cannot be 'many'"),
        ("training.batch_size:1..2.5", "cannot be 2.5"),
        ("training.optimizer.learning_rate:1e-3/True", "cannot be True"),
        ("training.optimizer.learning_rate:1e-3/NaN", "cannot be nan"),
        ("training.optimizer.kind:adamw/sgd", "cannot be 'sgd'"),
        ("training.optimizer.kind:1..2", "has no range"),
        ("training.optimizer.bias_correction:0/1", "cannot be 0"),
    ],
)
def test_fields_and_values_that_cannot_be_tuned(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        space(text)
    assert caught.value.where == f"tuning.space, {text.partition(':')[0]}"
    assert caught.value.remedy


def test_an_unset_integer_field_accepts_a_range() -> None:
    training = TrainingConfig(steps=1_000)
    assert training.optimizer.warmup_steps is None
    assert space(f"{WARMUP}:50..150", training=training) == (
        Hyperparameter.parse(f"{WARMUP}:50..150"),
    )


def test_a_misspelled_field_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        space("training.optimizer.lerning_rate:1/2")
    assert (caught.value.remedy or "").startswith(f"did you mean {RATE}")


def test_no_size_of_any_family_can_be_tuned() -> None:
    fields = tunable_fields(ElmoConfig(), TRAINING)
    assert {name for name in fields if name.startswith("model.")} == {
        "model.backbone.dropout",
        "model.backbone.cell_clip",
        "model.backbone.projection_clip",
    }


@pytest.mark.parametrize("text", ["training.batch_size:8/9", "training.batch_size:8..16"])
def test_batch_sizes_must_be_divisible_into_micro_batches(text: str) -> None:
    training = dataclasses.replace(TRAINING, gradient_accumulation_steps=4)
    assert space("training.batch_size:8/12", training=training)
    with pytest.raises(ConfigError, match="divided into 4 micro-batches"):
        space(text, training=training)


@pytest.mark.parametrize(
    ("configured", "training_steps", "expected"),
    [(None, 4_200, 420), (None, 100, 20), (None, 15, 15), (7, 4_200, 7)],
)
def test_steps_of_a_trial(configured: int | None, training_steps: int, expected: int) -> None:
    training = TrainingConfig(steps=training_steps)
    assert trial_steps(TuningConfig(1, configured), training) == expected


def test_an_unset_warmup_is_a_tenth_of_the_steps() -> None:
    training = dataclasses.replace(TRAINING, optimizer=OptimizerConfig(learning_rate=1e-3))
    assert space(training=training)[1].high == 200
    assert trial_training(training, 50).optimizer.warmup_steps == 5
    unset = settings() | {"training": json.dumps(dataclasses.asdict(training))}
    assert configured_values(space(f"{WARMUP}:50..150"), unset) == {WARMUP: 100}


def test_a_trial_is_a_shorter_training() -> None:
    training = dataclasses.replace(TRAINING, eval_steps=10, patience=3)
    small = trial_training(training, 100)
    assert (small.steps, small.optimizer.warmup_steps) == (100, 5)
    assert (small.eval_steps, small.patience) == (0, 0)
    restored = dataclasses.replace(
        small, steps=1_000, eval_steps=10, patience=3, optimizer=training.optimizer
    )
    assert restored == training


def test_no_values_are_returned_if_one_is_outside_the_space() -> None:
    assert configured_values(space("training.batch_size:8/16"), settings()) == {
        "training.batch_size": 8
    }
    assert configured_values(space("training.batch_size:4/16"), settings()) == {}
    assert configured_values(space(f"{RATE}:1e-4..9e-4"), settings()) == {}


def test_values_replace_fields_in_the_training_and_in_the_exported_configuration() -> None:
    original = settings()
    values = {RATE: 0.5, "model.backbone.dropout": 0.25, "training.optimizer.bias_correction": 1}
    found = with_values(original, values)
    for part in (found, json.loads(found["config"])):
        training, model = part["training"], part["model"]
        if isinstance(training, str):
            training, model = json.loads(training), json.loads(model)
        assert training["optimizer"]["learning_rate"] == 0.5
        assert training["optimizer"]["bias_correction"] is True
        assert model["backbone"]["dropout"] == 0.25
        assert training["batch_size"] == 8
    assert found["family"] == "bert"
    assert json.loads(found["config"])["examples"] == {"seed": 0}
    assert original == settings()


def test_without_values_nothing_changes() -> None:
    assert with_values(settings(), {}) == settings()


@pytest.mark.parametrize("field", ["training.optimizer.rate", "ingestion.shards"])
def test_values_of_missing_fields_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        with_values(settings(), {field: 1})


def test_values_in_one_line() -> None:
    values = {RATE: 0.00123456, "training.batch_size": 16, "training.optimizer.kind": "lamb"}
    assert describe_values(values) == "learning_rate 0.001235, batch_size 16, kind lamb"
