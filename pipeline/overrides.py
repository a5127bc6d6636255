"""`--set a.b=c`: typed overrides of a recipe's configuration, parsed and checked by tyro."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from components.config import Hyperparameter
from models.errors import ConfigError
from pipeline.config import PipelineConfig

_OPTIONS = {"name": "--name", "runs": "--runs", "recipe": "RECIPE", "ingestion.input": "--input"}
"""Fields that the command line has an option for."""


def apply_overrides(config: PipelineConfig, pairs: Sequence[str]) -> PipelineConfig:
    """The configuration with `pairs` set, one after the other.

    Args:
        pairs: `field.of.a.field=value`; several values of a tuple are parted by commas.

    Raises:
        ConfigError: no such field, with the nearest ones; or a value of another type.
    """
    for pair in pairs:
        config = _apply(config, pair)
    return config


def _apply(config: PipelineConfig, pair: str) -> PipelineConfig:
    import tyro  # not needed where a configuration is only read

    key, equals, value = pair.partition("=")
    fields = dict(_leaves(type(config), config))
    if not equals:
        raise ConfigError(
            f"{pair!r} sets nothing", where="--set", remedy="write --set training.steps=100"
        )
    if key not in fields:
        raise ConfigError(
            f"the configuration has no field {key!r}", where="--set", remedy=_nearest(key, fields)
        )
    if key in _OPTIONS:
        raise ConfigError(
            f"{key} has an option of its own", where=f"--set {pair}", remedy=f"use {_OPTIONS[key]}"
        )
    kind, current = fields[key]
    if kind == tuple[Hyperparameter, ...]:
        return _set(config, key.split("."), _hyperparameters(value))
    if isinstance(current, tuple):
        value = repr(tuple(part for part in value.split(",") if part))
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return tyro.cli(
                PipelineConfig,
                args=[f"--{key}={value}"],
                default=config,
                config=(
                    tyro.conf.AvoidSubcommands,  # the recipe has chosen the family
                    tyro.conf.FlagConversionOff,
                    tyro.conf.UsePythonSyntaxForLiteralCollections,
                ),
                use_underscores=True,
            )
    except SystemExit:
        raise ConfigError(
            f"{key} cannot be {value!r}",
            where=f"--set {pair}",
            remedy=f"give {_describe(kind)}; it is {current!r} now",
        ) from None


def _hyperparameters(text: str) -> tuple[Hyperparameter, ...]:
    """Those of a command line, parted by commas: tyro has no words for a tuple of dataclasses."""
    return tuple(Hyperparameter.parse(part) for part in text.split(",") if part)


def _set(config: Any, names: Sequence[str], value: Any) -> Any:
    """A configuration with a value in the field that `names` lead to."""
    name, *more = names
    new = _set(getattr(config, name), more, value) if more else value
    return dataclasses.replace(config, **{name: new})


def _leaves(kind: type, value: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every field that holds no further dataclass: dotted name → (type, current value)."""
    hints = typing.get_type_hints(kind)
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


def _describe(kind: Any) -> str:
    """A type in words."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if kind is bool:
        return "True or False"
    names = {int: "a whole number", float: "a number", str: "a text"}
    return names.get(kind) or str(kind)
