"""Applies `--set FIELD=VALUE` to a configuration; tyro parses the values by the fields' types.

tyro could also make an option of each of the more than 100 fields. `--set` is a single option
instead, so that `run --help` stays short, and so that errors can suggest the nearest fields of all
sections, the new name of a renamed field, and the allowed values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.tuning_config import Hyperparameter
from models.allowed_values import allowed
from models.errors import ConfigError
from models.renamed_settings import RENAMED
from pipeline.config import PipelineConfig

_OPTIONS = {"name": "--name", "runs": "--runs", "recipe": "RECIPE", "ingestion.input": "--input"}
"""Fields that have an option of their own."""


def apply_overrides(config: PipelineConfig, pairs: Sequence[str]) -> PipelineConfig:
    """The configuration with fields overridden; of two pairs for the same field the later counts.

    Args:
        config: the configuration.
        pairs: `section.field=value`; the values of a tuple are separated by commas.

    Raises:
        ConfigError: there is no such field, in which case the error suggests the nearest fields;
            or the value has another type, or the configuration refuses it.
    """
    fields = dict(_leaves(type(config), config))
    values = {}
    for pair in pairs:
        key, equals, _ = pair.partition("=")
        if not equals:
            raise ConfigError(
                f"{pair!r} has no value", where="--set", remedy="write --set training.steps=100"
            )
        _check_field(pair, key, fields)
        values[key] = _value(pair, *fields[key])
    return _replace(config, values)


def _check_field(pair: str, key: str, fields: typing.Collection[str]) -> None:
    """Raises ConfigError if `--set` cannot set the field."""
    if key in RENAMED:
        raise ConfigError(
            f"{key} has been renamed",
            where=f"--set {pair}",
            remedy=f"write --set {RENAMED[key]}{pair.removeprefix(key)}",
        )
    if key not in fields:
        raise ConfigError(
            f"the configuration has no field {key!r}", where="--set", remedy=_nearest(key, fields)
        )
    if key in _OPTIONS:
        raise ConfigError(
            f"{key} has an option of its own",
            where=f"--set {pair}",
            remedy=f"use {_OPTIONS[key]}",
        )


def _value(pair: str, kind: Any, current: Any) -> Any:
    """The value of a pair, parsed by the field's type.

    Args:
        pair: `field=text`.
        kind: the field's type.
        current: its current value.
    """
    import tyro  # slow to import, and not needed to read a configuration

    key, _, text = pair.partition("=")
    if kind == tuple[Hyperparameter, ...]:
        return _hyperparameters(text)
    parts = tuple(part for part in text.split(",") if part)
    field = dataclasses.make_dataclass("Field", [("value", kind)])
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return tyro.cli(
                field,
                args=[f"--value={parts!r}" if isinstance(current, tuple) else f"--value={text}"],
                config=(
                    tyro.conf.FlagConversionOff,
                    tyro.conf.UsePythonSyntaxForLiteralCollections,
                ),
            ).value
    except SystemExit:
        raise ConfigError(
            f"{key} cannot be {text!r}",
            where=f"--set {pair}",
            remedy=f"give {allowed(kind)}; it is {current!r} now",
        ) from None


def _hyperparameters(text: str) -> tuple[Hyperparameter, ...]:
    """Hyperparameters separated by commas; tyro cannot parse a tuple of dataclasses."""
    return tuple(Hyperparameter.parse(part) for part in text.split(",") if part)


def _replace(config: Any, values: Mapping[str, Any]) -> Any:
    """A configuration with values replaced, all at once, as some values are only valid together.

    Args:
        config: a dataclass.
        values: dotted field name → value.
    """
    nested: dict[str, dict[str, Any]] = {}
    changes = {}
    for key, value in values.items():
        name, _, rest = key.partition(".")
        if rest:
            nested.setdefault(name, {})[rest] = value
        else:
            changes[name] = value
    changes |= {name: _replace(getattr(config, name), below) for name, below in nested.items()}
    return dataclasses.replace(config, **changes)


def _leaves(kind: type, value: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every field that is not a dataclass itself: dotted name → (type, current value)."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        current = getattr(value, field.name)
        if dataclasses.is_dataclass(current):
            yield from _leaves(type(current), current, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, (hints[field.name], current)


def _nearest(key: str, fields: typing.Collection[str]) -> str:
    """What to do about a field that does not exist: the nearest fields, if there are any."""
    below = [name for name in fields if name.startswith(f"{key}.")]
    if below:
        return f"set one of its fields: {', '.join(below[:6])}{', …' if len(below) > 6 else ''}"
    leaf = key.rpartition(".")[2]
    near = [name for name in fields if name.rpartition(".")[2] == leaf]
    near = difflib.get_close_matches(key, near, n=1, cutoff=0.9) or near
    near = near or difflib.get_close_matches(key, [*fields], n=2, cutoff=0.8)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return "`python -m pipeline recipes NAME` shows all fields"
