"""`--set a.b=c`: typed overrides of a recipe's configuration, parsed and checked by tyro."""

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
"""Fields that the command line has an option for."""


def apply_overrides(config: PipelineConfig, pairs: Sequence[str]) -> PipelineConfig:
    """The configuration with `pairs` set; of two pairs for one field the later one counts.

    Args:
        pairs: `field.of.a.field=value`; several values of a tuple are parted by commas.

    Raises:
        ConfigError: no such field, with the nearest ones; a value of another type, or one that the
            configuration refuses.
    """
    fields = dict(_leaves(type(config), config))
    values = {}
    for pair in pairs:
        key, equals, _ = pair.partition("=")
        if not equals:
            raise ConfigError(
                f"{pair!r} sets nothing", where="--set", remedy="write --set training.steps=100"
            )
        if key in RENAMED:
            raise ConfigError(
                f"{key} has another name now",
                where=f"--set {pair}",
                remedy=f"write --set {RENAMED[key]}{pair.removeprefix(key)}",
            )
        if key not in fields:
            raise ConfigError(
                f"the configuration has no field {key!r}",
                where="--set",
                remedy=_nearest(key, fields),
            )
        if key in _OPTIONS:
            raise ConfigError(
                f"{key} has an option of its own",
                where=f"--set {pair}",
                remedy=f"use {_OPTIONS[key]}",
            )
        values[key] = _value(pair, *fields[key])
    return _set(config, values)


def _value(pair: str, kind: Any, current: Any) -> Any:
    """What a pair sets its field to.

    Args:
        pair: `field=text`.
        kind: the field's type.
        current: its value now.
    """
    import tyro  # not needed where a configuration is only read

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
    """Those of a command line, parted by commas: tyro has no words for a tuple of dataclasses."""
    return tuple(Hyperparameter.parse(part) for part in text.split(",") if part)


def _set(config: Any, values: Mapping[str, Any]) -> Any:
    """A configuration with values in fields, all at once: some of them only go together.

    Args:
        config: a dataclass.
        values: by dotted name.
    """
    inside: dict[str, dict[str, Any]] = {}
    changes = {}
    for key, value in values.items():
        name, _, rest = key.partition(".")
        if rest:
            inside.setdefault(name, {})[rest] = value
        else:
            changes[name] = value
    changes |= {name: _set(getattr(config, name), below) for name, below in inside.items()}
    return dataclasses.replace(config, **changes)


def _leaves(kind: type, value: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every field that holds no further dataclass: dotted name → (type, current value)."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        current = getattr(value, field.name)
        if dataclasses.is_dataclass(current):
            yield from _leaves(type(current), current, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, (hints[field.name], current)


def _nearest(key: str, fields: typing.Collection[str]) -> str:
    """Suggestions for a field that does not exist."""
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
