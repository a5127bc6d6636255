"""What may be tuned, and how a configuration looks with a trial's values in it. Free of TensorFlow.

All trials share the examples and the vocabulary, and the model that comes out has to be one that
the next span's training can begin with. So what can be tuned is how a model is trained, and those
numbers of its backbone that are no sizes.
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
from models.settings import from_json
from models.training.config import TrainingConfig

_SHARED = (
    "model.family", "model.objective", "model.tokenizer", "ingestion", "validation", "cleaning",
    "vocabulary", "examples",
)  # fmt: skip
BEST_FILE = "best_hyperparameters.txt"
"""What TFX's Tuner writes for the Trainer: JSON, with `values` by field."""

_LEAST_STEPS = 20
_FACTOR, _WARMUP_SHARE = 5.0, 0.2  # of the default space


def tuned_space(
    tuning: TuningConfig, model: Any, training: TrainingConfig
) -> tuple[Hyperparameter, ...]:
    """The search space, checked against the configuration; the default one if none is given.

    Args:
        tuning: how to search.
        model: a family's configuration.
        training: the training's.

    Raises:
        ConfigError: a field does not exist, is not one to be tuned, or cannot be what is tried.
    """
    if not tuning.space and tuning.algorithm == "grid":
        raise ConfigError(
            "a grid has points, and the default space has ranges",
            where="tuning.space",
            remedy="give values, as in training.optimizer.learning_rate:1e-4/3e-4/1e-3",
        )
    space = tuning.space or _default(training)
    fields = tunable_fields(model, training)
    for each in space:
        if each.field not in fields:
            raise _not_tunable(each.field, model, training, fields)
        _check(each, fields[each.field])
        for value in each.values or (each.low, each.high):
            _try(model, training, each.field, value)
        parts = training.gradient_accumulation_steps
        if each.field == "training.batch_size" and parts > 1 and not each.values:
            raise ConfigError(
                f"a batch is computed in {parts} parts, which do not divide all sizes of a range",
                where=f"tuning.space, {each.field}",
                remedy=f"give values that {parts} divides",
            )
    return space


def tunable_fields(model: Any, training: TrainingConfig) -> dict[str, tuple[Any, Any]]:
    """Fields that can be tuned: dotted name → (type, configured value)."""
    fields = {"training.batch_size": (int, training.batch_size)}
    fields |= {
        name: field
        for name, field in _leaves(training.optimizer, "training.optimizer.")
        if typing.get_origin(field[0]) is not tuple
    }
    fields |= {
        name: field
        for name, field in _leaves(model.backbone, "model.backbone.")
        if field[0] is float  # whole numbers are sizes there
    }
    return fields


def trial_steps(tuning: TuningConfig, training: TrainingConfig) -> int:
    """Steps of a trial."""
    if tuning.steps is not None:
        return tuning.steps
    return min(training.steps, max(training.steps // 10, _LEAST_STEPS))


def in_small(training: TrainingConfig, steps: int) -> TrainingConfig:
    """A training of fewer steps whose schedule has the same shape, without looks on the way."""
    warmup = _warmup(training) * steps // training.steps
    return dataclasses.replace(
        training,
        steps=steps,
        seeds=1,
        eval_steps=0,
        patience=0,
        optimizer=dataclasses.replace(training.optimizer, warmup_steps=warmup),
    )


def configured(space: tuple[Hyperparameter, ...], settings: Mapping[str, Any]) -> dict[str, Value]:
    """The configuration's own values of a space's fields; empty if one lies outside.

    Args:
        space: the search space.
        settings: see `with_values`.
    """
    training = from_json(TrainingConfig, settings["training"])
    optimizer = training.optimizer.resolved(training.steps)
    given = {
        "model": json.loads(settings["model"]),
        "training": dataclasses.asdict(dataclasses.replace(training, optimizer=optimizer)),
    }
    own: dict[str, Value] = {}
    for each in space:
        first, *rest = each.field.split(".")
        value = given[first]
        for name in rest:
            value = value[name]
        low, high = each.low, each.high
        if low is None or high is None:
            inside = value in each.values
        else:
            inside = isinstance(value, int | float) and low <= value <= high
        if not inside:
            return {}
        own[each.field] = value
    return own


def with_values(settings: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """A Trainer's settings with hyperparameters in the fields that they are named by.

    Args:
        settings: `model` and `training` are JSON of the configurations, `config` of the whole
            pipeline's, which is what gets exported.
        values: by field.

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
            place = root
            for folder in folders:
                place = place.get(folder, {})
            if name not in place:
                raise ConfigError(f"the configuration has no field {field!r}", where="tuning.space")
            # KerasTuner's choices of True and False come back as 1 and 0.
            place[name] = bool(value) if isinstance(place[name], bool) else value
    return {
        **settings,
        **{name: json.dumps(part, sort_keys=True) for name, part in parts.items()},
        "config": json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
    }


def described(values: Mapping[str, Value]) -> str:
    """A trial's values in a line."""
    return ", ".join(f"{short(field)} {shown(value)}" for field, value in values.items())


def short(field: str) -> str:
    """A field's own name."""
    return field.rpartition(".")[2]


def shown(value: Value) -> str:
    """A value, with the digits that matter."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _default(training: TrainingConfig) -> tuple[Hyperparameter, ...]:
    rate = training.optimizer.learning_rate
    most = max(min(math.ceil(training.steps * _WARMUP_SHARE), training.steps - 1), 1)
    most = max(most, _warmup(training))
    return (
        Hyperparameter(
            "training.optimizer.learning_rate", low=rate / _FACTOR, high=rate * _FACTOR, log=True
        ),
        Hyperparameter("training.optimizer.warmup_steps", low=0, high=most),
    )


def _warmup(training: TrainingConfig) -> int:
    """Steps of a training's warmup."""
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
            yield prefix + field.name, (_plain(hints[field.name]), value)


def _plain(kind: Any) -> Any:
    """`int | None` → int."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _check(each: Hyperparameter, field: tuple[Any, Any]) -> None:
    """Whether a field can be what is tried."""
    kind, _ = field
    where = f"tuning.space, {each.field}"
    literals = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if literals or kind in (bool, str):
        allowed = literals or ((True, False) if kind is bool else ())
        wanted = f"one of {', '.join(map(str, allowed))}" if allowed else "a text"
        if not each.values:
            raise ConfigError(
                f"{each.field} has no range", where=where, remedy=f"give values: {wanted}"
            )
        wrong = [v for v in each.values if type(v) is not (bool if kind is bool else str)]
        wrong += [v for v in each.values if allowed and v not in allowed]
    else:
        numbers: tuple[Any, ...] = each.values or (each.low, each.high)
        wanted = "a whole number" if kind is int else "a number"
        wrong = [
            v
            for v in numbers
            if isinstance(v, bool)
            or not isinstance(v, int | float)
            or not math.isfinite(v)
            or (kind is int and v != int(v))
        ]
    if wrong:
        raise ConfigError(
            f"{each.field} cannot be {wrong[0]!r}", where=where, remedy=f"give {wanted}"
        )


def _try(model: Any, training: TrainingConfig, path: str, value: Any) -> None:
    """Builds the configuration with a value in a field: what it refuses, it refuses now."""

    def replace(config: Any, names: list[str]) -> Any:
        name, *more = names
        old = getattr(config, name)
        new = replace(old, more) if more else int(value) if type(old) is int else value
        return dataclasses.replace(config, **{name: new})

    configs = {"model": model, "training": training}
    first, *rest = path.split(".")
    configs[first] = replace(configs[first], rest)
    configs["model"].check_training(configs["training"])


def _not_tunable(
    field: str, model: Any, training: TrainingConfig, fields: Mapping[str, Any]
) -> ConfigError:
    where = f"tuning.space, {field}"
    if any(field == name or field.startswith(f"{name}.") for name in _SHARED):
        return ConfigError(
            f"{field} cannot be tuned: all trials share the examples and the vocabulary, and it "
            "changes them, or what the loss is of",
            where=where,
            remedy="tune it by hand, in runs with another --name",
        )
    known = dict([*_leaves(training, "training."), *_leaves(model, "model.")])
    near = difflib.get_close_matches(field, [*fields], n=2, cutoff=0.6)
    if field not in known:
        return ConfigError(
            f"the configuration has no field {field!r}",
            where=where,
            remedy=f"did you mean {' or '.join(near)}?" if near else f"there are {_listed(fields)}",
        )
    reason = (
        "a model of another shape could not begin with the last blessed one's weights"
        if field.startswith("model.")
        else "trials that differ in it cannot be compared, or do not differ in what they learn"
    )
    return ConfigError(
        f"{field} cannot be tuned: {reason}", where=where, remedy=f"there are {_listed(fields)}"
    )


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(sorted(fields))
