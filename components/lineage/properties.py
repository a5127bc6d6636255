"""Custom properties of artifacts in ML Metadata, by which keys and resolvers know them again."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from components.storage.finished import sha256

CONTENT = "content"
"""Of any artifact: a SHA-256 of what the steps behind it read of it."""
SPANS = "spans"
"""Of a Model: JSON of the numbers of all spans that its weights come from."""
FINGERPRINT = "fingerprint"
"""Of a Model: the fingerprint of its run's provenance."""
TEST_SHARE = "test_share"
"""Of a Model and of documents: the share of the documents that models are tested on."""
EVALUATION = "evaluation"
"""Of documents: the fingerprint of the texts that cleaning kept out of what is trained on."""
COVERS = "covers"
"""Of TrainedTexts: JSON of the numbers of those whose keys it holds too."""
ROLLED_BACK = "rolled_back"
"""Of a PushedModel: 1 if it was taken out of service; such a model is nothing to build on."""
REASON = "reason"
"""Of a PushedModel: why a blessed model was not pushed."""


def set_content(artifact: Any, files: Iterable[str]) -> None:
    """Gives an artifact the fingerprint of its files.

    Args:
        artifact: a TFX artifact whose folder is written.
        files: names within the folder; a folder stands for all files in it.
    """
    artifact.set_string_custom_property(CONTENT, fingerprint(artifact.uri, files))


def covers(trained: Any) -> list[int]:
    """The numbers of the TrainedTexts artifacts whose keys one holds too."""
    return json.loads(trained.get_string_custom_property(COVERS) or "[]")


def fingerprint(folder: str | pathlib.Path, files: Iterable[str]) -> str:
    """A SHA-256, in hexadecimal, over the names and the bytes of files.

    Args:
        folder: where they are.
        files: names within it; a folder stands for all files in it.

    Raises:
        OSError: a file is not there or cannot be read.
    """
    root = pathlib.Path(folder)
    total = hashlib.sha256()
    for name in files:
        path = root / name
        inside = path.rglob("*") if path.is_dir() else [path]
        for file in sorted(each for each in inside if not each.is_dir()):
            total.update(f"{file.relative_to(root)} {sha256(file)}\n".encode())
    return total.hexdigest()
