"""The command `prune`: removes files of old runs that the newest pushed versions do not need.

It keeps all files of the run that made the oldest kept version, and of all later runs; the models
that these versions started from and were compared with; and, of every run, what is small: the
records in ML Metadata, the evaluation, the statistics, the vocabulary and the tuned
hyperparameters. So lineage and the history in the report stay complete, and another run on the span
of a kept version is a cache hit. It removes documents, examples, models and logs of older runs, and
the pushed versions that were made from them.

Artifacts are first marked in ML Metadata, so that no later run takes them from the cache; then
their folders are removed; then they are recorded as deleted. If a prune is killed, the next prune
finishes it.
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

_LARGE_TYPES = ("Examples", "Model", "ModelRun", "PushedModel", "PolysemeTrainedTexts")
_BLOCK = 512  # bytes of a block in st_blocks


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What a prune removed, or would remove.

    Attributes:
        kept: versions that are kept, oldest first.
        versions: folders of pushed versions that are removed.
        artifacts: folders of artifacts that are removed.
        logs: log files that are removed: those of the runs before the oldest kept version.
        bytes: disk space of what is removed; a file with several names counts once.
    """

    kept: Sequence[str]
    versions: Sequence[pathlib.Path]
    artifacts: Sequence[pathlib.Path]
    logs: Sequence[pathlib.Path]
    bytes: int


def prune(folder: pathlib.Path, keep: int, *, dry_run: bool = False) -> Pruned:
    """Removes files that the newest versions do not need from a pipeline's folder.

    Args:
        folder: the pipeline's folder.
        keep: how many of the newest versions to keep.
        dry_run: only return what would be removed.

    Raises:
        ConfigError: no version would be kept, or the pipeline has no run.
        InUse: another process holds the lock of the folder.
    """
    if keep < 1:
        raise ConfigError(
            f"keeping {keep} versions would leave nothing to serve",
            where="--keep",
            remedy="give 1 or more",
        )
    with locked(folder):
        relocate(folder)
        history = RunHistory(folder)
        pruned, artifacts = _plan(history, folder, keep)
        if not dry_run:
            _remove(history, folder, pruned, artifacts)
        return pruned


def _plan(
    history: RunHistory, folder: pathlib.Path, keep: int
) -> tuple[Pruned, list[ArtifactRecord]]:
    """What to remove, and the records of the artifacts to remove."""
    pushed = [artifact for artifact in history.pushed() if not artifact.rolled_back]
    kept = pushed[-keep:]
    runs = history.run_ids()
    first_kept = _first_run_of(history, runs, kept) if len(pushed) > keep else 0
    unneeded = _unneeded(history, runs[first_kept:]) if first_kept else []
    folders = [path for artifact in unneeded if (path := pathlib.Path(artifact.uri)).is_dir()]
    logs = [log for run in runs[:first_kept] if (log := log_file(folder, run)).exists()]
    versions = _old_versions(history, versions_folder(folder), _names(kept))
    log_bytes = sum(log.stat().st_blocks * _BLOCK for log in logs)
    size = _disk_space([*versions, *folders]) + log_bytes
    return Pruned(_names(kept), versions, folders, logs, size), unneeded


def _remove(
    history: RunHistory, folder: pathlib.Path, pruned: Pruned, artifacts: list[ArtifactRecord]
) -> None:
    """Carries out a plan, and finishes an earlier prune that was killed."""
    history.mark(artifacts, deleted=False)
    for version in pruned.versions:
        # Renamed first, so that a server never sees a version of which files are missing.
        version.rename(version.with_name(f".{version.name}.removed"))
    for hidden in versions_folder(folder).glob(".*.removed"):
        shutil.rmtree(hidden)
    for path in pruned.artifacts:
        shutil.rmtree(path)
    for log in pruned.logs:
        log.unlink()
    history.mark(artifacts, deleted=True)


def _old_versions(
    history: RunHistory, serving: pathlib.Path, kept: Sequence[str]
) -> list[pathlib.Path]:
    """Folders of versions to remove: pushed ones, and rolled back ones older than all kept ones.

    A version that the metadata does not record is not removed.
    """
    pushed = history.pushed()
    rolled_back = _names([artifact for artifact in pushed if artifact.rolled_back])
    old = {*_names(pushed)} - {*kept, *rolled_back}
    versions = [version for version in sorted(serving.glob("*")) if version.name in old]
    if kept:
        oldest = min(map(int, kept))
        hidden = sorted(serving.glob(".*.rolled-back"))
        versions += [each for each in hidden if int(each.name.split(".")[1]) < oldest]
    return versions


def _names(pushed: Sequence[ArtifactRecord]) -> list[str]:
    return [artifact.properties["pushed_version"] for artifact in pushed]


def _first_run_of(history: RunHistory, runs: Sequence[str], kept: Sequence[ArtifactRecord]) -> int:
    """Index in `runs` of the first run that made a kept version."""
    makers = {history.producer(artifact).id for artifact in kept}
    return next(
        index
        for index, run in enumerate(runs)
        if any(node.id in makers for node in history.nodes(run).values())
    )


def _unneeded(history: RunHistory, runs: Sequence[str]) -> list[ArtifactRecord]:
    """The large artifacts that none of the runs used and that are not recorded as deleted."""
    used: set[int] = set()
    for run in runs:
        for node in history.nodes(run).values():
            for linked in (node.inputs, node.outputs):
                used |= {each.id for artifacts in linked.values() for each in artifacts}
    return [each for each in history.present(_LARGE_TYPES) if each.id not in used]


def _disk_space(folders: Sequence[pathlib.Path]) -> int:
    """Bytes on the disk of the files that have no hard link outside of the folders."""
    names: collections.Counter[tuple[int, int]] = collections.Counter()
    stats: dict[tuple[int, int], os.stat_result] = {}
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                stat = file.stat()
                names[stat.st_dev, stat.st_ino] += 1
                stats[stat.st_dev, stat.st_ino] = stat
    return sum(
        stats[file].st_blocks * _BLOCK
        for file, count in names.items()
        if count == stats[file].st_nlink
    )
