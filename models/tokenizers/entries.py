"""Reads vocabulary files with one entry per line; lines are numbered from 0 to give the ids."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from models.errors import ConfigError

_MAX_LISTED = 10


def listed(names: Sequence[str]) -> str:
    """The first names of a list for a message, and "…" if there are more."""
    return ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")


def read_entries(path: pathlib.Path) -> list[str]:
    """Reads the entries of a vocabulary file.

    Raises:
        ConfigError: the file cannot be read, is empty or not UTF-8, or an entry is empty or
            repeated; names the file and the line.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the vocabulary cannot be read: {error.strerror}",
            where=str(path),
            remedy="provide a readable text file with one entry on each line",
        ) from error
    if not content.strip():
        raise ConfigError(
            "the vocabulary is empty", where=str(path), remedy="write one entry on each line"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the vocabulary is not UTF-8: byte 0x{content[error.start]:02x}",
            where=f"{path}:{content.count(10, 0, error.start) + 1}",
            remedy="convert the file to UTF-8",
        ) from error
    # Not splitlines, because some published vocabularies have entries such as U+2028.
    entries = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    lines: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        if not entry:
            raise ConfigError(
                "an entry of the vocabulary is empty",
                where=f"{path}:{number}",
                remedy="remove the empty line; the ids of the entries after it move up by one",
            )
        if entry in lines:
            raise ConfigError(
                f"the entry {entry!r} of the vocabulary is repeated",
                where=f"{path}:{number} (first on line {lines[entry]})",
                remedy="keep one of the two lines",
            )
        lines[entry] = number
    return entries
