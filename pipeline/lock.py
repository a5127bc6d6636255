"""A lock on a folder, so that only one process at a time writes there.

This is a POSIX record lock (`fcntl.lockf`), for three properties that the `filelock` library does
not have, because it takes a BSD lock (`fcntl.flock`):

- A worker process that was forked while the lock was held does not keep the folder locked.
- `pipeline.lock_holder.lock_holder` learns which process holds the lock without taking it.
- On a file system without locks it fails, whereas `filelock` falls back to a file that a killed
  process leaves behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import TextIO

from models.errors import ConfigError, InUse
from pipeline.terminal.failures import explain

LOCK = "lock"
"""Name of the lock file in a pipeline's folder. It holds the id of the process that last took the
lock."""


@contextlib.contextmanager
def locked(folder: pathlib.Path, name: str = LOCK) -> Iterator[None]:
    """Holds the lock on a folder while the block runs; the lock ends with the process in any case.

    Args:
        folder: the folder to lock; it is created if absent.
        name: name of the lock file in it.

    Raises:
        InUse: another process holds the lock; the error gives its id.
        ConfigError: the lock file cannot be written or locked.
    """
    path = folder / name
    with _open_lock_file(path) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # POSIX allows either if it is held
            file.seek(0)
            raise InUse(
                f"the folder is already in use by process {file.read().strip()[:20] or 'unknown'}",
                where=str(folder),
                remedy="wait until that process has ended, or choose another folder",
            ) from error
        except OSError as error:
            raise ConfigError(
                f"the file cannot be locked: {error.strerror}",
                where=str(path),
                remedy="choose a folder on a file system that has POSIX locks",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _open_lock_file(path: pathlib.Path) -> TextIO:
    """The lock file, opened for reading and appending; its folder is created if absent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise explain(error) or ConfigError(
            f"the folder cannot be written: {reason}",
            where=str(error.filename or path.parent),
            remedy="choose a folder that you may write to",
        ) from error
