"""Finished work, known again by a fingerprint of all that it is made of.

A retried component gets another folder for its output. What was finished is therefore kept beside
the artifacts until the component ends, and is linked from there into the output.
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
    """Puts files at `targets`: the finished ones of this fingerprint, or some that are made now.

    Args:
        folder: where finished files are kept.
        fingerprint: a hash of all that the files are made of.
        targets: where they are to be; replaced if there.
        make: writes the files to as many paths and returns what is to be known of them, as JSON
            can say it.
        scratch: a folder on the targets' file system, to be removed when all is done.

    Returns:
        What is known of the files, with the `sha256` of each, and whether they were finished
        before.
    """
    told = os.path.join(folder, f"{fingerprint}.json")
    kept = [os.path.join(folder, f"{fingerprint}.{number}") for number in range(len(targets))]
    known = _known(told, kept)
    found = known is not None
    if known is None:
        with contextlib.ExitStack() as stack:
            temporary = [stack.enter_context(published(path)) for path in kept]
            known = make(*temporary)
            known["sha256"] = [*map(sha256, temporary)]
        write_whole(told, [json.dumps(known)])  # last: where it exists, the files are whole
    for path, target in zip(kept, targets, strict=True):
        link_whole(path, target, scratch)
    return known, found


def sha256(path: str | pathlib.Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _known(told: str, kept: Sequence[str]) -> dict[str, Any] | None:
    """What is known of finished files; None if there are none, or if one is not whole."""
    try:
        with open(told, encoding="utf-8") as stream:
            known: dict[str, Any] = json.load(stream)
        return known if [*map(sha256, kept)] == known["sha256"] else None
    except (OSError, ValueError):
        return None
