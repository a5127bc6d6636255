"""Tests of the settings of training: reading JSON, bounds, and rules about several fields."""

import dataclasses
import json

import pytest

from models.bert.config import BertBackboneConfig, BertConfig
from models.errors import ConfigError
from models.settings import from_json
from models.training.config import DevicesConfig, OptimizerConfig, TrainingConfig, micro_batch_size


@dataclasses.dataclass(frozen=True)
class Bank:
    name: str
    notes: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class River:
    banks: tuple[Bank, ...]
    length: float | None = None


def refusal(kind: type, text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        from_json(kind, text)
    return refused.value


def test_missing_fields_have_their_defaults() -> None:
    assert from_json(TrainingConfig, "{}") == TrainingConfig()
    assert from_json(TrainingConfig, '{"steps": 7}') == TrainingConfig(steps=7)
    assert from_json(TrainingConfig, b'{"seed": 1}') == TrainingConfig(seed=1)


def test_nested_dataclasses_are_read() -> None:
    text = '{"optimizer": {"learning_rate": 1, "bias_correction": true}, "jit_compile": false}'
    config = from_json(TrainingConfig, text)
    assert config == TrainingConfig(
        jit_compile=False, optimizer=OptimizerConfig(learning_rate=1.0, bias_correction=True)
    )
    assert isinstance(config.optimizer.learning_rate, float)
    river = from_json(River, '{"banks": [{"name": "left", "notes": {"a": 1}}, {"name": "右"}]}')
    assert river == River((Bank("left", {"a": 1}), Bank("右")))


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(steps=3, checkpoint_seconds=0.1, optimizer=OptimizerConfig(epsilon=1e-12)),
        BertConfig(backbone=BertBackboneConfig(num_layers=1)),
        River((Bank("left"),), length=6.3),
    ],
)
def test_a_written_configuration_is_read_back(config: object) -> None:
    assert from_json(type(config), json.dumps(dataclasses.asdict(config))) == config


@pytest.mark.parametrize(
    ("kind", "text", "where", "value"),
    [
        (TrainingConfig, '{"step": 7}', "training.step", "7"),
        (TrainingConfig, '{"optimizer": {"rate": 1}}', "training.optimizer.rate", "1"),
        (River, '{"banks": [{"name": "a"}, {"name": "b", "c": 0}]}', "River.banks.1.c", "0"),
    ],
)
def test_the_error_names_an_unknown_field(kind: type, text: str, where: str, value: str) -> None:
    error = refusal(kind, text)
    assert error.where == where
    assert error.what.startswith("Unexpected")
    assert error.what.endswith(f", got {value}")


@pytest.mark.parametrize(
    ("kind", "text", "where", "expected", "value"),
    [
        (TrainingConfig, '{"steps": "many"}', "training.steps", "integer", "'many'"),
        (TrainingConfig, '{"steps": 7.5}', "training.steps", "integer", "7.5"),
        (TrainingConfig, '{"steps": null}', "training.steps", "integer", "None"),
        (TrainingConfig, '{"jit_compile": 2}', "training.jit_compile", "True or False", "2"),
        (
            TrainingConfig,
            '{"optimizer": {"beta_1": []}}',
            "training.optimizer.beta_1",
            "number",
            "[]",
        ),
        (TrainingConfig, '{"optimizer": 1}', "training.optimizer", "object", "1"),
        (TrainingConfig, "[]", "training", "object", "[]"),
        (BertConfig, '{"family": "gpt"}', "model.family", "'bert'", "'gpt'"),
        (River, '{"banks": [{"name": 1}]}', "River.banks.0.name", "string", "1"),
    ],
)
def test_the_error_names_a_field_of_a_wrong_type_and_its_value(
    kind: type, text: str, where: str, expected: str, value: str
) -> None:
    error = refusal(kind, text)
    assert error.where == where
    assert expected in error.what
    assert error.what.endswith(f", got {value}")


@pytest.mark.parametrize(
    ("kind", "text", "where", "bound", "value"),
    [
        (
            TrainingConfig,
            '{"gradient_accumulation_steps": 0}',
            "training.gradient_accumulation_steps",
            "Input should be greater than 0",
            "0",
        ),
        (
            TrainingConfig,
            '{"keep_checkpoints": 0}',
            "training.keep_checkpoints",
            "Input should be greater than 0",
            "0",
        ),
        (
            TrainingConfig,
            '{"log_steps": -1}',
            "training.log_steps",
            "Input should be greater than 0",
            "-1",
        ),
        (
            TrainingConfig,
            '{"patience": -1}',
            "training.patience",
            "Input should be greater than or equal to 0",
            "-1",
        ),
        (
            TrainingConfig,
            '{"optimizer": {"clip_norm": -1}}',
            "training.optimizer.clip_norm",
            "Input should be greater than or equal to 0",
            "-1",
        ),
        (
            OptimizerConfig,
            '{"initial_accumulator_value": 0}',
            "training.optimizer.initial_accumulator_value",
            "Input should be greater than 0",
            "0",
        ),
        (
            OptimizerConfig,
            '{"learning_rate": NaN}',
            "training.optimizer.learning_rate",
            "Input should be a finite number",
            "nan",
        ),
        (
            DevicesConfig,
            '{"steps_per_execution": 0}',
            "devices.steps_per_execution",
            "Input should be greater than 0",
            "0",
        ),
    ],
)
def test_the_error_names_a_number_out_of_its_bounds(
    kind: type, text: str, where: str, bound: str, value: str
) -> None:
    error = refusal(kind, text)
    assert error.where == where
    assert error.what == f"{bound}, got {value}"


def test_the_bounds_themselves_are_allowed() -> None:
    assert from_json(OptimizerConfig, '{"clip_norm": 0, "warmup_steps": 0}').clip_norm == 0
    assert TrainingConfig(max_loss_rise=0.0, patience=0, eval_steps=0).steps == 1_000


def test_the_error_names_a_missing_field() -> None:
    assert refusal(River, "{}").where == "River.banks"
    assert refusal(River, '{"banks": [{}]}').where == "River.banks.0.name"


@pytest.mark.parametrize("text", ["", "{", "steps: 7", '{"steps": 7,}', b"\xff"])
def test_invalid_json_is_refused(text: str | bytes) -> None:
    error = refusal(TrainingConfig, text)
    assert error.where == "training"
    assert error.what.startswith("Invalid JSON")


def test_a_long_value_is_cut() -> None:
    error = refusal(TrainingConfig, json.dumps({"steps": "x" * 500}))
    assert error.what.endswith(", got '" + "x" * 79)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"devices": ("GPU:0",)}, "devices.devices"),
        ({"strategy": "mirrored", "devices": ("GPU:0", "GPU:0")}, "devices.devices"),
        ({"processes": 2}, "devices.processes"),
        ({"strategy": "mirrored", "tpu": "local"}, "devices.tpu"),
    ],
)
def test_devices_without_effect_are_refused(fields: dict, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DevicesConfig(**fields)
    assert refused.value.where == where


@pytest.mark.parametrize(
    ("devices", "training", "where"),
    [
        (DevicesConfig("mirrored", ("CPU:0", "CPU:1", "CPU:2")), {}, "training.batch_size"),
        (DevicesConfig("multi_worker", processes=5), {}, "training.batch_size"),
        (
            DevicesConfig("multi_worker", processes=4),
            {"gradient_accumulation_steps": 16},
            "training.gradient_accumulation_steps",
        ),
    ],
)
def test_a_batch_that_devices_cannot_share_equally_is_refused(
    devices: DevicesConfig, training: dict, where: str
) -> None:
    with pytest.raises(ConfigError, match="a batch of 32 cannot be divided into") as refused:
        devices.check_training(TrainingConfig(batch_size=32, **training))
    assert refused.value.where == where


def test_a_batch_that_cannot_be_divided_into_micro_batches_is_refused() -> None:
    assert micro_batch_size(24, 3, 4) == 2
    with pytest.raises(
        ConfigError, match="a batch of 32 cannot be divided into 3 micro-batches"
    ) as refused:
        TrainingConfig(gradient_accumulation_steps=3)
    assert refused.value.where == "training.gradient_accumulation_steps"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"kind": "adagrad", "weight_decay": 0.01}', "weight_decay"),
        ('{"kind": "adagrad", "exclude_from_weight_decay": ["bias"]}', "exclude_from_weight_decay"),
        ('{"kind": "adagrad", "beta_1": 0.9}', "beta_1"),
        ('{"kind": "adagrad", "beta_2": 0.999}', "beta_2"),
        ('{"kind": "adagrad", "epsilon": 1e-6}', "epsilon"),
        ('{"kind": "adagrad", "bias_correction": true}', "bias_correction"),
        ('{"kind": "adamw", "initial_accumulator_value": 1}', "initial_accumulator_value"),
        ('{"kind": "lamb", "initial_accumulator_value": 1}', "initial_accumulator_value"),
        ('{"weight_decay": 0, "exclude_from_weight_decay": ["bias"]}', "exclude_from_weight_decay"),
        ('{"schedule": "constant", "final_learning_rate": 1e-5}', "final_learning_rate"),
    ],
)
def test_settings_without_effect_on_the_optimizer_are_refused(text: str, field: str) -> None:
    error = refusal(OptimizerConfig, text)
    assert error.where == f"training.optimizer.{field}"
    assert "has no effect with" in error.what


def test_a_final_rate_above_the_peak_is_refused() -> None:
    error = refusal(OptimizerConfig, '{"learning_rate": 0.001, "final_learning_rate": 1.0}')
    assert error.where == "training.optimizer.final_learning_rate"
    assert error.what == "1.0 is above the peak rate, 0.001"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_of_more_than_32_bits_is_refused(seed: int) -> None:
    assert refusal(TrainingConfig, f'{{"seed": {seed}}}').where == "training.seed"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"steps": 10, "optimizer": {"warmup_steps": 10}}', "optimizer.warmup_steps"),
        ('{"patience": 2}', "patience"),
        ('{"steps": 100, "eval_steps": 25, "patience": 3}', "patience"),
    ],
)
def test_settings_that_no_step_reaches_are_refused(text: str, field: str) -> None:
    assert refusal(TrainingConfig, text).where == f"training.{field}"


@pytest.mark.parametrize(
    ("steps", "warmup"), [(1, 0), (9, 0), (20, 2), (1_000, 100), (1_000_000, 10_000)]
)
def test_warmup_is_a_tenth_of_the_steps_by_default(steps: int, warmup: int) -> None:
    assert OptimizerConfig().resolved(steps).warmup_steps == warmup
    assert OptimizerConfig(warmup_steps=3).resolved(steps).warmup_steps == 3


def test_each_optimizer_has_its_own_defaults() -> None:
    adam = {
        "weight_decay": 0.01, "exclude_from_weight_decay": ("bias", "gamma", "beta"), "beta_1": 0.9,
        "beta_2": 0.999, "epsilon": 1e-6,
    }  # fmt: skip
    resolved = OptimizerConfig().resolved(10)
    assert {name: getattr(resolved, name) for name in adam} == adam
    adagrad = OptimizerConfig(kind="adagrad").resolved(10)
    assert adagrad.initial_accumulator_value == 1.0
    assert {getattr(adagrad, name) for name in adam} == {None}
    assert OptimizerConfig(beta_2=0.95).resolved(10).beta_2 == 0.95
