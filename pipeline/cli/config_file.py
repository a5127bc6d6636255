"""Reads the file of `run --config FILE`: the output of `recipes NAME`, or a run's config.json."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from models.errors import ConfigError
from pipeline.config import PipelineConfig

_MAX_BYTES = 1_000_000
_REMEDY = "give the output of `python -m pipeline recipes NAME`, or the config.json of a run"


def read_config(path: str) -> PipelineConfig:
    """The configuration in a JSON file; missing fields have their defaults.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or not JSON, or has a field that is
            repeated, unknown, or has an invalid value.
    """
    file = pathlib.Path(path).expanduser()
    try:
        with open(file, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: also a path with a zero byte
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"the configuration cannot be read: {reason}", where=str(file), remedy=_REMEDY
        ) from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(
            f"the file is not a configuration: it has more than {_MAX_BYTES:,} bytes",
            where=str(file),
            remedy=_REMEDY,
        )
    try:
        _refuse_repeated_fields(text)
        return PipelineConfig.from_json(text)
    except ConfigError as error:
        raise ConfigError(
            error.what, where=f"{error.where} in {file}", remedy=error.remedy or _REMEDY
        ) from error


def _refuse_repeated_fields(text: str) -> None:
    """Raises ConfigError if an object repeats a field: a JSON reader would take the last value."""

    def check(pairs: Sequence[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    "the field appears twice", where=name, remedy="remove one of them"
                )

    try:
        json.loads(text, object_pairs_hook=check)
    except (ValueError, RecursionError):
        return  # from_json reports what is wrong
