"""Which model answers: the pipeline, the version and the span, as the model itself says."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from components.layout import PROVENANCE_FILE


@dataclasses.dataclass(frozen=True)
class AnsweringModel:
    """Which model answers.

    Attributes:
        folder: where it lies, absolute.
        version: the version that it was pushed as, None if its folder has no such name.
        name: the pipeline that made it, None if it does not say.
        span: the span that it was trained on last, likewise.
    """

    folder: str
    version: str | None
    name: str | None
    span: str | None

    def __str__(self) -> str:
        known = [
            self.name,
            self.version and f"version {self.version}",
            self.span and f"span {self.span}",
        ]
        return ", ".join(filter(None, known)) or self.folder


def describe(folder: pathlib.Path) -> AnsweringModel:
    """What the model in a folder says of itself; nothing is loaded."""
    name: str | None
    span: str | None
    try:
        found = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
        name, span = str(found["name"]), str(found.get("label", found["span"]))
    except (OSError, ValueError, LookupError, TypeError):  # made elsewhere, or by old code
        name = span = None
    return AnsweringModel(
        folder=str(folder.absolute()),
        version=folder.name if folder.name.isdecimal() else None,
        name=name,
        span=span,
    )
