"""The command `rollback`: takes a pushed version out of service, or puts it back.

TF Serving loads the version with the highest number. The folder of a version that is rolled back is
renamed to a hidden name that no server reads, so the version before it is served again. ML
Metadata records the rollback, and no later run starts from the model or is compared with it.

The rollback is recorded before the folder is renamed. If a rollback is killed, the same command
finishes it.
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
    """The result of a rollback, or of undoing one.

    Attributes:
        version: the version that was rolled back or put back.
        served: the version that is served now.
    """

    version: str
    served: str


def roll_back(folder: pathlib.Path, version: str | None, *, undo: bool = False) -> RolledBack:
    """Takes a version out of service, or puts it back.

    Args:
        folder: the pipeline's folder.
        version: the version; None is the served version, or with `undo` the newest version that was
            rolled back.
        undo: put the version back.

    Raises:
        ConfigError: there is no such version, or no version would be left to serve.
        InUse: another process holds the lock of the folder.
    """
    with locked(folder):
        relocate(folder)
        history = RunHistory(folder)
        artifact = _choose(history, folder, version, undo)
        name = artifact.properties["pushed_version"]
        serving = versions_folder(folder)
        visible, hidden = serving / name, serving / f".{name}.rolled-back"
        _check(name, visible, hidden, undo)
        history.set_rolled_back(artifact, not undo)
        before, after = (ROLLED_BACK, PUSHED) if undo else (PUSHED, ROLLED_BACK)
        for attempt in read_attempts(folder):
            if attempt.version == name and attempt.state == before:
                write_attempt(folder, dataclasses.replace(attempt, state=after))
        source, target = (hidden, visible) if undo else (visible, hidden)
        if source.exists():
            source.rename(target)
        return RolledBack(name, max(_served(serving), key=int))


def _check(name: str, visible: pathlib.Path, hidden: pathlib.Path, undo: bool) -> None:
    """Raises ConfigError if nothing would be left to serve, or there is nothing to put back."""
    if undo and not (hidden.exists() or visible.exists()):
        raise ConfigError(
            f"the files of version {name} were removed",
            where=str(hidden),
            remedy="push the model again: run the pipeline on its span",
        )
    if not undo and not [each for each in _served(visible.parent) if each != name]:
        raise ConfigError(
            f"no version would be left to serve without version {name}",
            where=str(visible.parent),
            remedy="push another version first, or stop the server",
        )


def _choose(
    history: RunHistory, folder: pathlib.Path, version: str | None, undo: bool
) -> ArtifactRecord:
    """The requested version; by default the one that a killed command left unfinished, if any."""
    pushed = {artifact.properties["pushed_version"]: artifact for artifact in history.pushed()}
    serving = versions_folder(folder)
    if version is None:
        rolled_back = {each.name.split(".")[1] for each in serving.glob(".*.rolled-back")}
        rolled_back |= {name for name in pushed if pushed[name].rolled_back}
        candidates = (rolled_back if undo else {*_served(serving)}) & pushed.keys()
        if not candidates:
            raise ConfigError(
                "no version was rolled back" if undo else "no version is served",
                where=str(folder),
                remedy="`python -m pipeline spans` lists the versions",
            )
        version = max(candidates, key=int)
    if version not in pushed:
        raise ConfigError(
            f"version {version} was not pushed",
            where=str(folder),
            remedy=f"pushed versions: {', '.join(pushed) or 'none yet'}",
        )
    return pushed[version]


def _served(serving: pathlib.Path) -> list[str]:
    """The versions that a server sees and can load; incomplete folders do not count."""
    return [
        each.name
        for each in serving.glob("*")
        if each.name.isdecimal() and (each / SAVED_MODEL).is_file()
    ]
