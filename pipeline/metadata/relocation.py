"""Corrects the paths in a pipeline's metadata after the pipeline's folder was moved.

TFX records absolute paths. Without this, a run in a moved folder would find no artifact of earlier
runs and start from scratch.
"""

from __future__ import annotations

import pathlib
from typing import Any

from pipeline.layout import ARTIFACTS, SERVING
from pipeline.metadata.store import DATABASE, has_database, open_store

_DESTINATION = "pushed_destination"  # custom property that TFX's Pusher sets


def relocate(folder: pathlib.Path) -> int:
    """Writes the folder's current paths into its metadata.

    Args:
        folder: the pipeline's folder, locked.

    Returns:
        How many artifacts had another path.
    """
    if not has_database(folder):
        return 0
    store = open_store(folder / DATABASE)
    moved = [artifact for artifact in store.get_artifacts() if correct_paths(artifact, folder)]
    if moved:
        store.put_artifacts(moved)
    return len(moved)


def correct_paths(artifact: Any, folder: pathlib.Path) -> bool:
    """Replaces the paths in an artifact's record by the current ones in a pipeline's folder.

    An artifact is at `artifacts/<component>/<output>/<number>` in the folder, a pushed version at
    `serving/<name>/<version>`. Nothing is replaced where the current path does not exist.

    Args:
        artifact: a record of ML Metadata; it is changed in place.
        folder: the pipeline's folder, absolute.

    Returns:
        Whether a path was replaced.
    """
    changed = False
    current = _current_path(folder, artifact.uri, ARTIFACTS, 4)
    if current:
        artifact.uri, changed = current, True
    destination = artifact.custom_properties.get(_DESTINATION)
    current = _current_path(folder, destination.string_value, SERVING, 3) if destination else None
    if current:
        artifact.custom_properties[_DESTINATION].string_value, changed = current, True
    return changed


def _current_path(folder: pathlib.Path, recorded: str, first: str, levels: int) -> str | None:
    """The current path of a recorded one; None if they are equal or the path is of another kind.

    Args:
        folder: the pipeline's folder.
        recorded: an absolute path.
        first: name of the folder in the pipeline's folder that the path goes through.
        levels: number of names of the path below the pipeline's folder.
    """
    parts = pathlib.PurePath(recorded).parts
    if len(parts) <= levels or parts[-levels] != first:
        return None
    current = folder.joinpath(*parts[-levels:])
    return str(current) if str(current) != recorded and current.exists() else None
