"""The atomic file writer: a file appears under its name only once it is complete.

It is in `models` because training logs are written with it, and `models` may not import components.
`components/storage/publish.py` builds the writers of text, links and folders on it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def published(
    path: str | os.PathLike[str],
    *,
    scratch: str | os.PathLike[str] | None = None,
    durable: bool = False,
) -> Iterator[pathlib.Path]:
    """Yields a temporary name to write a file to, and renames the file when the block ends.

    Several processes may publish the same file at the same time: each has a temporary name of its
    own. If the block raises, the temporary file is removed and an older file at `path` stays.

    Args:
        path: the file's name; an older file there is replaced.
        scratch: a folder on the same file system for the temporary file, which a killed process
            leaves behind. Needed where all files of the target's folder are read; None is the
            target's folder.
        durable: write the content to the disk before renaming. Without it, a machine that loses
            power may keep the name and lose the content.

    Raises:
        OSError: the file cannot be written. The error names `path`, even if the disk is full, in
            which case the system's error names no file.
    """
    target = pathlib.Path(path)
    folder = target.parent if scratch is None else pathlib.Path(scratch)
    partial = folder / f".{target.name}.{uuid.uuid4().hex}.partial"
    try:
        yield partial
        if durable:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial), partial):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        # Also after success: renaming does nothing where both names are links to one file.
        with contextlib.suppress(OSError):
            partial.unlink()
