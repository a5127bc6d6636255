"""Finished work of a stopped step, found again by a fingerprint of its inputs.

When TFX retries a component, the component gets a new folder for its output. Finished files are
therefore kept outside the artifacts until the component ends, and are linked into the output.
"""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from components.storage.publish import link_whole, write_whole
from models.published import published


def finish(
    folder: str,
    fingerprint: str,
    targets: Sequence[str],
    make: Callable[..., dict[str, Any]],
    scratch: str,
) -> tuple[dict[str, Any], bool]:
    """Links finished files to `targets`; makes the files first if they are not finished.

    Args:
        folder: where finished files are kept.
        fingerprint: a hash of everything that the files depend on.
        targets: paths of the links; older files there are replaced.
        make: writes the files to the paths it is called with, one per target, and returns a summary
            of them that can be written as JSON.
        scratch: a temporary folder on the targets' file system.

    Returns:
        The summary, with the files' hashes as `sha256`; and whether the files had been finished
        before.
    """
    summary_file = os.path.join(folder, f"{fingerprint}.json")
    files = [os.path.join(folder, f"{fingerprint}.{number}") for number in range(len(targets))]
    summary = _finished_summary(summary_file, files)
    finished_before = summary is not None
    if summary is None:
        with contextlib.ExitStack() as stack:
            partial_files = [stack.enter_context(published(file)) for file in files]
            summary = make(*partial_files)
            summary["sha256"] = [*map(sha256, partial_files)]
        # Written last: if the summary exists, the files are complete.
        write_whole(summary_file, [json.dumps(summary)])
    for file, target in zip(files, targets, strict=True):
        link_whole(file, target, scratch)
    return summary, finished_before


def sha256(path: str | pathlib.Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _finished_summary(summary_file: str, files: Sequence[str]) -> dict[str, Any] | None:
    """The summary of finished files; None if it or a file is missing or damaged."""
    try:
        with open(summary_file, encoding="utf-8") as stream:
            summary: dict[str, Any] = json.load(stream)
        return summary if [*map(sha256, files)] == summary["sha256"] else None
    except (OSError, ValueError):
        return None
