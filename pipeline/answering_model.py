"""Which model answers: its pipeline, version and span, from the files exported with it."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from components.layout import PROVENANCE_FILE


@dataclasses.dataclass(frozen=True)
class AnsweringModel:
    """The identity of a model.

    Attributes:
        folder: its folder, absolute.
        version: its version, None if the folder's name is not a version number.
        name: the pipeline that trained it, None if unknown.
        span: the last span that it was trained on, None if unknown.
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
    """The identity of the model in a folder; the model is not loaded."""
    name: str | None
    span: str | None
    try:
        found = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
        name, span = str(found["name"]), str(found.get("label", found["span"]))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
    ):  # exported by other code
        name = span = None
    return AnsweringModel(
        folder=str(folder.absolute()),
        version=folder.name if folder.name.isdecimal() else None,
        name=name,
        span=span,
    )
