"""Which process is at work in a pipeline's folder, found without touching its lock."""

from __future__ import annotations

import fcntl
import os
import pathlib
import struct

from pipeline.lock import LOCK

_FLOCK = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, process


def process_at_work(folder: pathlib.Path) -> int | None:
    """The process that holds the lock of a folder, None if there is none.

    It only asks: a run that begins in this moment still gets the lock. A process that holds the
    lock itself must not ask, as closing the file would give the lock up.

    Returns:
        The process's number; that of another machine, on a shared file system, may be 0.
    """
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # nobody was ever at work, or it is not for us to know
        return None
    try:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, process = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    except OSError:  # a file system without locks: no run can be at work there
        return None
    finally:
        os.close(file)
    return None if kind == fcntl.F_UNLCK else process
