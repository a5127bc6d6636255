"""The lock on a folder: one process at a time may write there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from models.errors import ConfigError, InUse
from pipeline.terminal.failures import explain

LOCK = "lock"
"""The file's name in a pipeline's folder. It holds the number of the process that took it last."""


@contextlib.contextmanager
def locked(folder: pathlib.Path, name: str = LOCK) -> Iterator[None]:
    """Keeps other processes out of a folder; the lock ends with the process, however it ends.

    Args:
        folder: made if absent.
        name: the lock's file in it.

    Raises:
        InUse: another process is at work there, named by its number.
        ConfigError: the folder cannot be written.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise explain(error) or ConfigError(
            f"the folder cannot be written: {reason}",
            where=str(error.filename or folder),
            remedy="choose another folder, one that you may write to",
        ) from error
    with file:
        try:
            # POSIX locks belong to the process: a worker it forked cannot keep the folder locked.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # by POSIX, either says it is taken
            file.seek(0)
            raise InUse(
                f"the folder is already in use by process {file.read().strip()[:20] or 'unknown'}",
                where=str(folder),
                remedy="wait for its end, or choose another folder",
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
