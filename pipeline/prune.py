"""`python -m pipeline prune`: removes the files of old runs that the served chain does not need.

What stays: everything of the runs that made the newest versions, and of all runs after them; the
models that those versions started from and were compared with; and of every run the records in ML
Metadata, the evaluation, the statistics, the vocabulary and the tuned hyperparameters, which are
small. So lineage and the report's history are complete, and a rerun of a kept version is a cache
hit. Documents, examples, models and logs of older runs go, and the served versions that
were made of them.

Artifacts are marked in ML Metadata first, so that no later run takes them from the cache. Then
their folders are removed, and then they are recorded as deleted. A prune that was killed is
finished by the next one.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Sequence

from models.errors import ConfigError
from pipeline.layout import log_file, versions_folder
from pipeline.lock import locked
from pipeline.metadata.queries import ArtifactRecord, RunHistory
from pipeline.metadata.relocation import relocate

_LARGE = ("Examples", "Model", "ModelRun", "PushedModel", "PolysemeTrainedTexts")
_BLOCK = 512  # bytes of a block in st_blocks


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What a prune removed, or would remove.

    Attributes:
        kept: versions that stay, oldest first.
        versions: folders of served versions that go.
        artifacts: folders of artifacts that go.
        logs: the logs of the runs before the one that made the oldest version that stays.
        bytes: what they take on the disk; a file with several names counts once.
    """

    kept: Sequence[str]
    versions: Sequence[pathlib.Path]
    artifacts: Sequence[pathlib.Path]
    logs: Sequence[pathlib.Path]
    bytes: int


def prune(folder: pathlib.Path, keep: int, *, dry_run: bool = False) -> Pruned:
    """Removes what the newest versions do not need from a pipeline's folder.

    Args:
        folder: the pipeline's folder.
        keep: how many of the newest versions stay.
        dry_run: only say what would go.

    Raises:
        ConfigError: no version would stay, or no run has been in the folder.
        InUse: a process is at work there.
    """
    if keep < 1:
        raise ConfigError(
            f"{keep} versions would leave nothing to serve", where="--keep", remedy="give 1 or more"
        )
    with locked(folder):
        relocate(folder)
        return _prune(RunHistory(folder), folder, keep, dry_run)


def _prune(history: RunHistory, folder: pathlib.Path, keep: int, dry_run: bool) -> Pruned:
    withdrawn = [artifact for artifact in history.pushed() if artifact.rolled_back]
    pushed = [artifact for artifact in history.pushed() if not artifact.rolled_back]
    kept = pushed[-keep:]
    names = _versions(kept)
    serving = versions_folder(folder)
    gone = set(_versions(pushed)) - {*names, *_versions(withdrawn)}
    # A version that the record does not know is not ours to remove.
    versions = [version for version in sorted(serving.glob("*")) if version.name in gone]
    if names:  # what was rolled back before the oldest version that stays
        oldest = min(map(int, names))
        hidden_ones = sorted(serving.glob(".*.rolled-back"))
        versions += [each for each in hidden_ones if int(each.name.split(".")[1]) < oldest]
    runs = history.run_ids()
    first = _first(history, runs, kept) if len(pushed) > keep else 0
    going = _going(history, runs[first:]) if first else []
    folders = [pathlib.Path(artifact.uri) for artifact in going]
    present = [path for path in folders if path.is_dir()]
    named = (log_file(folder, run) for run in runs[:first])
    logs = [log for log in named if log.exists()]
    size = _bytes([*versions, *present]) + sum(log.stat().st_blocks * _BLOCK for log in logs)
    found = Pruned(names, versions, present, logs, size)
    if not dry_run:
        history.mark(going, deleted=False)
        for version in versions:
            hidden = version.with_name(f".{version.name}.removed")
            version.rename(hidden)  # a server sees it whole or not at all
        for leftover in serving.glob(".*.removed"):
            shutil.rmtree(leftover)
        for path in present:
            shutil.rmtree(path)
        for log in logs:
            log.unlink()
        history.mark(going, deleted=True)
    return found


def _versions(pushed: Sequence[ArtifactRecord]) -> list[str]:
    return [artifact.properties["pushed_version"] for artifact in pushed]


def _first(history: RunHistory, runs: Sequence[str], kept: Sequence[ArtifactRecord]) -> int:
    """The place in `runs` of the first run that made a kept version."""
    makers = {history.producer(artifact).id for artifact in kept}
    return next(
        place
        for place, run in enumerate(runs)
        if any(node.id in makers for node in history.nodes(run).values())
    )


def _going(history: RunHistory, runs: Sequence[str]) -> list[ArtifactRecord]:
    """The large artifacts that none of the runs needs and that are not recorded as deleted."""
    needed: set[int] = set()
    for run in runs:
        for node in history.nodes(run).values():
            for linked in (node.inputs, node.outputs):
                needed |= {each.id for artifacts in linked.values() for each in artifacts}
    return [each for each in history.present(_LARGE) if each.id not in needed]


def _bytes(folders: Sequence[pathlib.Path]) -> int:
    """Bytes on the disk of files that have no name outside of the folders."""
    names: collections.Counter[tuple[int, int]] = collections.Counter()
    stats: dict[tuple[int, int], os.stat_result] = {}
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                found = file.stat()
                names[found.st_dev, found.st_ino] += 1
                stats[found.st_dev, found.st_ino] = found
    return sum(
        stats[file].st_blocks * _BLOCK
        for file, count in names.items()
        if count == stats[file].st_nlink
    )
