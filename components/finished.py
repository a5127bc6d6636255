"""Finished work, known again by a fingerprint of all that it is made of.

A retried component gets another folder for its output. What was finished is therefore kept beside
the artifacts until the component ends, and is linked from there into the output.
"""

import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

from components.whole_files import link_whole, write_whole


def finish(
    folder: str,
    fingerprint: str,
    target: str,
    make: Callable[[str], dict[str, Any]],
    scratch: str,
) -> tuple[dict[str, Any], bool]:
    """Puts a file at `target`: the finished one of this fingerprint, or one that is made now.

    Args:
        folder: where finished files are kept.
        fingerprint: a hash of all that the file is made of.
        target: where it is to be; replaced if there.
        make: writes the file to a path and returns what is to be known of it, as JSON can say it.
        scratch: a folder on the target's file system, to be removed when all is done.

    Returns:
        What is known of the file, with its `sha256`, and whether it was finished before.
    """
    kept = os.path.join(folder, fingerprint)
    known = _known(kept)
    found = known is not None
    if known is None:
        temporary = f"{kept}.{uuid.uuid4().hex}"
        known = make(temporary)
        known["sha256"] = sha256(temporary)
        os.replace(temporary, kept)
        write_whole(f"{kept}.json", [json.dumps(known)])  # who finds this finds the file whole
    link_whole(kept, target, scratch)
    return known, found


def sha256(path: str | pathlib.Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _known(kept: str) -> dict[str, Any] | None:
    """What is known of a finished file; None if there is none, or if it is not whole."""
    try:
        with open(f"{kept}.json", encoding="utf-8") as stream:
            known: dict[str, Any] = json.load(stream)
        return known if sha256(kept) == known["sha256"] else None
    except (OSError, ValueError):
        return None
