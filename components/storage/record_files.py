"""A fast writer of gzipped TFRecord files whose bytes are the same on every machine.

The file is a sequence of gzip members of one megabyte, compressed by libdeflate; gzip readers read
them as one file. The output depends only on the records and on libdeflate's version: the file holds
no time and no name (docs/decisions/0013-groups-are-files.md).
"""

import functools
import os
import struct
from collections.abc import Iterable
from types import TracebackType

import deflate
import google_crc32c

_MEMBER_BYTES = 1 << 20
_LEVEL = 1


class RecordWriter:
    """Context manager that writes a TFRecord file; the file is complete when the block ends."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._stream = open(path, "wb")
        self._parts: list[bytes] = []
        self._size = 0

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stream:
            if kind is None:
                self._flush()

    def write(self, records: Iterable[bytes]) -> None:
        """Appends records."""
        for record in records:
            self._parts += _head(len(record)), record, _checksum(record)
            self._size += len(record)
            if self._size >= _MEMBER_BYTES:
                self._flush()

    def _flush(self) -> None:
        self._stream.write(deflate.gzip_compress(b"".join(self._parts), _LEVEL))
        self._parts, self._size = [], 0


@functools.lru_cache(maxsize=65_536)
def _head(size: int) -> bytes:
    """The header of a record of `size` bytes: its length and the length's checksum."""
    length = struct.pack("<Q", size)
    return length + _checksum(length)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and offset as TFRecord defines it."""
    crc: int = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
