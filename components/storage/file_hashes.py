"""SHA-256 of files, remembered, so that a large input is not read whole before every run."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable

from components.storage.finished import sha256
from components.storage.publish import write_whole

_SETTLED_NANOSECONDS = 2_000_000_000
"""A file that changed more recently could change again without another time: clocks are coarse."""
_MOST = 200_000  # files remembered


class FileHashes:
    """SHA-256 of files by path, size, inode and times of change.

    As `make` and `rsync` do, it takes a file whose size and times are what they were for unchanged.
    The time at which the inode changed is among them, which copying programs cannot set back.

    Args:
        memory: a JSON file that keeps what was computed; None computes all hashes anew. One that is
            damaged is written anew.
    """

    def __init__(self, memory: pathlib.Path | None = None) -> None:
        self._memory = memory
        self._known: dict[str, list[int | str]] = {}
        if memory:
            try:
                known = json.loads(memory.read_bytes())
                self._known = {str(path): list(entry) for path, entry in known.items()}
            except (OSError, ValueError, AttributeError, TypeError):
                pass  # nothing is remembered

    def of(
        self, files: Iterable[str], told: Callable[[int], None] = lambda size: None
    ) -> list[str]:
        """Returns the hashes of files, in their order, and remembers them.

        Args:
            files: paths.
            told: is called with the size in bytes of each file that is done.

        Raises:
            OSError: a file cannot be read, or what is remembered cannot be written.
        """
        hashes = [self._one(file, told) for file in files]
        if self._memory:
            kept = dict([*self._known.items()][-_MOST:])
            write_whole(str(self._memory), [json.dumps(kept)])
        return hashes

    def _one(self, file: str, told: Callable[[int], None]) -> str:
        path = os.path.abspath(file)
        status = os.stat(path)
        stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        entry = self._known.pop(path, None)
        found = str(entry[-1]) if entry and entry[:-1] == stamp else sha256(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NANOSECONDS:
            self._known[path] = [*stamp, found]  # the last ones are those that are kept
        told(status.st_size)
        return found
