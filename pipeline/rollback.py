"""`python -m pipeline rollback`: takes a pushed version out of service.

TF Serving loads the version with the highest number. The folder of a version that is rolled back
gets a name that no server looks at, so that the one before is served again. ML Metadata says so,
and no later run starts from its model or is compared with it.

The record comes first. A rollback that was killed is finished by the same command.
"""

from __future__ import annotations

import dataclasses
import pathlib

from models.errors import ConfigError
from pipeline.layout import versions_folder
from pipeline.lock import locked
from pipeline.metadata.queries import ArtifactRecord, RunHistory
from pipeline.metadata.relocation import relocate
from pipeline.predict import SAVED_MODEL
from pipeline.span_history import PUSHED, ROLLED_BACK, read_attempts, write_attempt


@dataclasses.dataclass(frozen=True)
class RolledBack:
    """What a rollback, or its undoing, came to.

    Attributes:
        version: the version.
        served: the version that is served now.
    """

    version: str
    served: str


def roll_back(folder: pathlib.Path, version: str | None, *, undo: bool = False) -> RolledBack:
    """Takes a version out of service, or puts it back.

    Args:
        folder: the pipeline's folder.
        version: the version; None is the one that is served, or with `undo` the newest of those
            that were rolled back.
        undo: put it back.

    Raises:
        ConfigError: there is no such version, or no other one would be left to serve.
        InUse: a process is at work in the folder.
    """
    with locked(folder):
        relocate(folder)
        history = RunHistory(folder)
        artifact = _chosen(history, folder, version, undo)
        name = artifact.properties["pushed_version"]
        serving = versions_folder(folder)
        visible, hidden = serving / name, serving / f".{name}.rolled-back"
        left = [each for each in _served(serving) if each != name]
        if not left and not undo:
            raise ConfigError(
                f"without version {name} none would be left to serve",
                where=str(serving),
                remedy="push another one first, or stop the server",
            )
        if undo and not (hidden.exists() or visible.exists()):
            raise ConfigError(
                f"the files of version {name} were removed",
                where=str(hidden),
                remedy="push the model again: run the pipeline on its span",
            )
        history.set_rolled_back(artifact, not undo)
        before, after = (ROLLED_BACK, PUSHED) if undo else (PUSHED, ROLLED_BACK)
        for attempt in read_attempts(folder):
            if attempt.version == name and attempt.state == before:
                write_attempt(folder, dataclasses.replace(attempt, state=after))
        source, target = (hidden, visible) if undo else (visible, hidden)
        if source.exists():
            source.rename(target)
        return RolledBack(name, max(_served(serving), key=int))


def _chosen(
    history: RunHistory, folder: pathlib.Path, version: str | None, undo: bool
) -> ArtifactRecord:
    """The version that is meant; without a name that which a killed command left half done."""
    pushed = {artifact.properties["pushed_version"]: artifact for artifact in history.pushed()}
    serving = versions_folder(folder)
    if version is None:
        gone = {each.name.split(".")[1] for each in serving.glob(".*.rolled-back")}
        gone |= {name for name in pushed if pushed[name].rolled_back}
        candidates = gone & pushed.keys() if undo else {*_served(serving)} & pushed.keys()
        if not candidates:
            raise ConfigError(
                "no version was rolled back" if undo else "no version is served",
                where=str(folder),
                remedy="python -m pipeline spans lists the versions",
            )
        version = max(candidates, key=int)
    if version not in pushed:
        raise ConfigError(
            f"version {version} was not pushed",
            where=str(folder),
            remedy=f"versions: {', '.join(pushed) or 'none yet'}",
        )
    return pushed[version]


def _served(serving: pathlib.Path) -> list[str]:
    """The versions that a server sees and can load; a folder that is not whole is none."""
    return [
        each.name
        for each in serving.glob("*")
        if each.name.isdecimal() and (each / SAVED_MODEL).is_file()
    ]
