"""SHA-256 hashes of files, cached so that a large input is not read before every run."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable

from components.storage.finished import sha256
from components.storage.publish import write_whole

_SETTLED_NANOSECONDS = 2_000_000_000
"""A file that changed more recently is not cached: file system clocks are coarse, so it could
change again without a new time."""
_MAX_CACHED = 200_000  # files


class FileHashes:
    """Computes SHA-256 hashes of files; caches them by path, size, inode and times of change.

    Like `make` and `rsync`, it assumes that a file with the same size and times is unchanged. One
    of the times is the inode's time of change, which copying programs cannot set back.

    Args:
        cache: a JSON file; a damaged one is replaced. None computes every hash.
    """

    def __init__(self, cache: pathlib.Path | None = None) -> None:
        self._cache = cache
        self._entries: dict[str, list[int | str]] = {}
        if cache:
            try:
                entries = json.loads(cache.read_bytes())
                self._entries = {str(path): list(entry) for path, entry in entries.items()}
            except (OSError, ValueError, AttributeError, TypeError):
                pass  # start with an empty cache

    def hash_files(
        self, files: Iterable[str], on_file_done: Callable[[int], None] = lambda size: None
    ) -> list[str]:
        """The hashes of files, in their order. Writes the cache.

        Args:
            files: paths.
            on_file_done: called with the size in bytes of each file.

        Raises:
            OSError: a file cannot be read, or the cache cannot be written.
        """
        hashes = [self._hash_file(file, on_file_done) for file in files]
        if self._cache:
            latest = dict([*self._entries.items()][-_MAX_CACHED:])
            write_whole(self._cache, [json.dumps(latest)])
        return hashes

    def _hash_file(self, file: str, on_file_done: Callable[[int], None]) -> str:
        path = os.path.abspath(file)
        status = os.stat(path)
        stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        entry = self._entries.pop(path, None)
        content_hash = str(entry[-1]) if entry and entry[:-1] == stamp else sha256(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NANOSECONDS:
            self._entries[path] = [*stamp, content_hash]  # at the end: the latest are kept
        on_file_done(status.st_size)
        return content_hash
