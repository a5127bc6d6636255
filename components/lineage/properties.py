"""Custom properties of artifacts in ML Metadata, which cache keys and resolvers read."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from components.storage.finished import sha256

CONTENT = "content"
"""Of any artifact: a SHA-256 of the files that later steps read."""
SPANS = "spans"
"""Of a Model: JSON list of the spans that it and its base models were trained on."""
FINGERPRINT = "fingerprint"
"""Of a Model: the fingerprint of its run's provenance."""
TEST_SHARE = "test_share"
"""Of a Model and of documents: the share of the documents in the split "test"."""
EVALUATION = "evaluation"
"""Of documents: the fingerprint of the evaluation texts that cleaning removed from them."""
COVERS = "covers"
"""Of TrainedTexts: JSON list of the ids of other TrainedTexts whose keys it contains."""
ROLLED_BACK = "rolled_back"
"""Of a PushedModel: 1 if it was taken out of service; no run builds on such a model."""
REASON = "reason"
"""Of a PushedModel: why a blessed model was not pushed."""


def set_content(artifact: Any, files: Iterable[str]) -> None:
    """Records the fingerprint of an artifact's files as a property of the artifact.

    Args:
        artifact: a TFX artifact whose files are written.
        files: names in the artifact's folder; the name of a folder means all files in it.
    """
    artifact.set_string_custom_property(CONTENT, fingerprint(artifact.uri, files))


def covers(trained: Any) -> list[int]:
    """The ids of the TrainedTexts artifacts whose keys a TrainedTexts artifact contains."""
    return json.loads(trained.get_string_custom_property(COVERS) or "[]")


def fingerprint(folder: str | pathlib.Path, files: Iterable[str]) -> str:
    """A SHA-256 over the names and the contents of files, in hexadecimal.

    Args:
        folder: the folder of the files.
        files: names in that folder; the name of a folder means all files in it.

    Raises:
        OSError: a file does not exist or cannot be read.
    """
    root = pathlib.Path(folder)
    total = hashlib.sha256()
    for name in files:
        path = root / name
        inside = path.rglob("*") if path.is_dir() else [path]
        for file in sorted(each for each in inside if not each.is_dir()):
            total.update(f"{file.relative_to(root)} {sha256(file)}\n".encode())
    return total.hexdigest()
