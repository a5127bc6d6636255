"""The hyperparameters that can be tuned, and configurations with a trial's values. No TensorFlow.

All trials share the examples and the vocabulary, and the resulting model must be one that the next
span's training can start from. So the settings of training can be tuned, and those numbers of the
backbone that are not sizes.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from components.tuning_config import Hyperparameter, TuningConfig, Value
from models.errors import ConfigError
from models.renamed_settings import RENAMED
from models.settings import from_json
from models.training.config import TrainingConfig

BEST_FILE = "best_hyperparameters.txt"
"""The file that TFX's Tuner writes for the Trainer: JSON, with `values` by field."""

_SHARED = (
    "model.family", "model.objective", "model.tokenizer", "ingestion", "validation", "cleaning",
    "vocabulary", "examples",
)  # fmt: skip
_MIN_STEPS = 20  # of a trial, if the training itself has as many
_LEARNING_RATE_FACTOR, _MAX_WARMUP_SHARE = 5.0, 0.2  # of the default space


def search_space(
    tuning: TuningConfig, model: Any, training: TrainingConfig
) -> tuple[Hyperparameter, ...]:
    """The configured search space, or the default one; checked against the configuration.

    Args:
        tuning: the configuration of the search.
        model: a family's configuration.
        training: the configuration of the training.

    Raises:
        ConfigError: a field does not exist, cannot be tuned, or cannot have one of the values.
    """
    if not tuning.space and tuning.algorithm == "grid":
        raise ConfigError(
            "a grid search needs values, and the default search space has ranges",
            where="tuning.space",
            remedy="give values, as in training.optimizer.learning_rate:1e-4/3e-4/1e-3",
        )
    space = tuning.space or _default_space(training)
    fields = tunable_fields(model, training)
    for each in space:
        if each.field not in fields:
            raise _not_tunable(each.field, model, training, fields)
        _check(each, fields[each.field][0], model, training)
    return space


def tunable_fields(model: Any, training: TrainingConfig) -> dict[str, tuple[Any, Any]]:
    """The fields that can be tuned: dotted name → (type, configured value)."""
    fields = {"training.batch_size": (int, training.batch_size)}
    fields |= {
        name: field
        for name, field in _leaves(training.optimizer, "training.optimizer.")
        if typing.get_origin(field[0]) is not tuple
    }
    fields |= {
        name: field
        for name, field in _leaves(model.backbone, "model.backbone.")
        if field[0] is float  # the backbone's whole numbers are sizes
    }
    return fields


def trial_steps(tuning: TuningConfig, training: TrainingConfig) -> int:
    """Number of steps of a trial."""
    if tuning.steps is not None:
        return tuning.steps
    return min(training.steps, max(training.steps // 10, _MIN_STEPS))


def trial_training(training: TrainingConfig, steps: int) -> TrainingConfig:
    """The training of a trial: fewer steps, a schedule of the same shape, no evaluations."""
    warmup = _warmup_steps(training) * steps // training.steps
    return dataclasses.replace(
        training,
        steps=steps,
        seeds=1,
        eval_steps=0,
        patience=0,
        optimizer=dataclasses.replace(training.optimizer, warmup_steps=warmup),
    )


def configured_values(
    space: tuple[Hyperparameter, ...], settings: Mapping[str, Any]
) -> dict[str, Value]:
    """The configured values of a space's fields; empty if one of them lies outside the space.

    Args:
        space: the search space.
        settings: see `with_values`.
    """
    training = from_json(TrainingConfig, settings["training"])
    optimizer = training.optimizer.resolved(training.steps)
    configuration = {
        "model": json.loads(settings["model"]),
        "training": dataclasses.asdict(dataclasses.replace(training, optimizer=optimizer)),
    }
    values: dict[str, Value] = {}
    for each in space:
        value: Any = configuration
        for name in each.field.split("."):
            value = value[name]
        low, high = each.low, each.high
        if low is None or high is None:
            inside = value in each.values
        else:
            inside = isinstance(value, int | float) and low <= value <= high
        if not inside:
            return {}
        values[each.field] = value
    return values


def with_values(settings: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A Trainer's settings with hyperparameters in place of the configured values.

    Args:
        settings: JSON of configurations: of the `model`, of the `training`, and of the whole
            pipeline as `config`, which is exported.
        values: the hyperparameters by field.

    Raises:
        ConfigError: the configuration has no such field.
    """
    if not values:
        return dict(settings)
    parts = {name: json.loads(settings[name]) for name in ("model", "training")}
    whole = json.loads(settings["config"])
    for field, value in values.items():
        for root in (parts, whole):
            *folders, name = field.split(".")
            parent = root
            for folder in folders:
                parent = parent.get(folder, {})
            if name not in parent:
                raise ConfigError(f"the configuration has no field {field!r}", where="tuning.space")
            # KerasTuner returns the choices True and False as 1 and 0.
            parent[name] = bool(value) if isinstance(parent[name], bool) else value
    return {
        **settings,
        **{name: json.dumps(part, sort_keys=True) for name, part in parts.items()},
        "config": json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
    }


def describe_values(values: Mapping[str, Value]) -> str:
    """A trial's values in one line."""
    return ", ".join(f"{field_name(field)} {format_value(values[field])}" for field in values)


def field_name(field: str) -> str:
    """The last part of a field's dotted name."""
    return field.rpartition(".")[2]


def format_value(value: Value) -> str:
    """A value, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _default_space(training: TrainingConfig) -> tuple[Hyperparameter, ...]:
    rate = training.optimizer.learning_rate
    max_warmup = min(math.ceil(training.steps * _MAX_WARMUP_SHARE), training.steps - 1)
    return (
        Hyperparameter(
            "training.optimizer.learning_rate",
            low=rate / _LEARNING_RATE_FACTOR,
            high=rate * _LEARNING_RATE_FACTOR,
            log=True,
        ),
        Hyperparameter(
            "training.optimizer.warmup_steps",
            low=0,
            high=max(max_warmup, 1, _warmup_steps(training)),
        ),
    )


def _warmup_steps(training: TrainingConfig) -> int:
    steps = training.optimizer.resolved(training.steps).warmup_steps
    assert steps is not None
    return steps


def _leaves(config: Any, prefix: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, (_without_none(hints[field.name]), value)


def _without_none(kind: Any) -> Any:
    """`int | None` → int."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _check(each: Hyperparameter, kind: Any, model: Any, training: TrainingConfig) -> None:
    """Checks that a field of type `kind` can have every value that is tried.

    Raises:
        ConfigError: it cannot.
    """
    where = f"tuning.space, {each.field}"
    if not each.values and kind not in (int, float):
        raise ConfigError(
            f"{each.field} has no range", where=where, remedy=f"give values, as in {each.field}:A/B"
        )
    parts = training.gradient_accumulation_steps
    if each.field == "training.batch_size" and parts > 1 and not each.values:
        raise ConfigError(
            f"not every batch size of a range can be divided into {parts} micro-batches",
            where=where,
            remedy=f"give values that {parts} divides",
        )
    for value in each.values or (each.low, each.high):
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # the ends of a range are floats
        try:
            _replace_field({"model": model, "training": training}, each.field, value)
        except ConfigError as error:
            raise ConfigError(
                f"{each.field} cannot be {value!r}: {error.what}",
                where=where,
                remedy=error.remedy or "try other values",
            ) from error


def _replace_field(configs: dict[str, Any], field: str, value: Any) -> None:
    """Builds the configurations with another value, so that their own checks apply to it.

    Raises:
        ConfigError: a check fails.
    """

    def replace(config: Any, names: list[str]) -> Any:
        name, *more = names
        new = replace(getattr(config, name), more) if more else value
        return dataclasses.replace(config, **{name: new})

    root, *names = field.split(".")
    configs[root] = replace(configs[root], names)
    configs["model"].check_training(configs["training"])


def _not_tunable(
    field: str, model: Any, training: TrainingConfig, fields: Mapping[str, Any]
) -> ConfigError:
    where = f"tuning.space, {field}"
    if any(field == name or field.startswith(f"{name}.") for name in _SHARED):
        return ConfigError(
            f"{field} cannot be tuned: all trials share the examples and the vocabulary, and it "
            "changes these, or what the loss measures",
            where=where,
            remedy="compare runs with different --name instead",
        )
    existing = dict([*_leaves(training, "training."), *_leaves(model, "model.")])
    similar = difflib.get_close_matches(field, [*fields], n=2, cutoff=0.6)
    tunable = f"fields that can be tuned: {', '.join(sorted(fields))}"
    if field in RENAMED:
        return ConfigError(
            f"{field} has been renamed", where=where, remedy=f"write {RENAMED[field]}"
        )
    if field not in existing:
        return ConfigError(
            f"the configuration has no field {field!r}",
            where=where,
            remedy=f"did you mean {' or '.join(similar)}?" if similar else tunable,
        )
    reason = (
        "a model of another shape could not start from the last blessed model's weights"
        if field.startswith("model.")
        else "trials that differ in it cannot be compared, or learn the same"
    )
    return ConfigError(f"{field} cannot be tuned: {reason}", where=where, remedy=tunable)
