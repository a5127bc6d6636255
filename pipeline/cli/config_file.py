"""`run --config FILE`: a configuration as `recipes NAME` prints it, or as a run has left it."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from models.errors import ConfigError
from pipeline.config import PipelineConfig

_MOST_BYTES = 1_000_000
_REMEDY = "give what `python -m pipeline recipes NAME` prints, or the config.json of a run"


def read_config(path: str) -> PipelineConfig:
    """The configuration in a file of JSON; fields that it lacks have their defaults.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or not JSON, or has a field twice, one
            that is unknown, or one with a value that it cannot have.
    """
    file = pathlib.Path(path).expanduser()
    try:
        with open(file, "rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: also a path with a zero byte
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"the configuration cannot be read: {reason}", where=str(file), remedy=_REMEDY
        ) from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(
            f"the file has more than {_MOST_BYTES:,} bytes, so it is no configuration",
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
    """Raises ConfigError if an object has a field twice, of which a reader would take the last."""

    def once(pairs: Sequence[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    "the field stands there twice", where=name, remedy="remove one of them"
                )

    try:
        json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return  # from_json says what is wrong
