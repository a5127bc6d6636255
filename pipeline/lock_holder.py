"""Finds the process that holds the lock of a pipeline's folder, without touching the lock."""

from __future__ import annotations

import fcntl
import os
import pathlib
import struct

from pipeline.lock import LOCK

_FLOCK = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, process id


def lock_holder(folder: pathlib.Path) -> int | None:
    """The id of the process that holds the lock of a folder, None if no process does.

    This only queries the lock (`F_GETLK`), so a run that starts at this moment still gets it. The
    process that holds the lock must not call this: closing the file would release the lock.

    Returns:
        The process id; it may be 0 if the process runs on another machine with the same shared
        file system.
    """
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # no process ever took the lock, or we may not read the file
        return None
    try:
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, process = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))
    except OSError:  # a file system without locks, where no run can have taken one
        return None
    finally:
        os.close(file)
    return None if kind == fcntl.F_UNLCK else process
