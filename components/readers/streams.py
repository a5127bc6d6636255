"""Opens text files of any compression, encoding and line ends as lines of UTF-8.

A byte order mark at the front of a file decides its encoding. A file without one has the configured
encoding.
"""

import codecs
import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

import pyarrow as pa

from components.readers.formats import format_mismatch, format_of
from models.errors import DataRefused

BYTE_ORDER_MARK = codecs.BOM_UTF8
"""UTF-8's byte order mark. It is never text, not even in the middle of concatenated files."""
READ_ERRORS = (EOFError, OSError, zlib.error, UnicodeError, pa.ArrowException)
"""Errors that reading a damaged file may raise."""

_HEAD_BYTES = 1 << 16
_MARKS = (  # UTF-32 first, because its mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUL_SHARE = 0.2  # half of the bytes of English in UTF-16 are NUL, none in UTF-8


class UnmarkedEncoding(OSError):
    """The file seems to have another encoding than configured, and has no byte order mark."""


def open_lines(file: str, begin: int, encoding: str) -> tuple[BinaryIO, BinaryIO]:
    """Opens a file as lines of UTF-8.

    Args:
        file: the file's path; its suffix implies the compression.
        begin: the byte to begin at; must be 0 unless the file `is_splittable`.
        encoding: encoding of a file without a byte order mark.

    Returns:
        A stream of lines of UTF-8 that end with a line feed; and the raw file that it reads. Bytes
        that are invalid in the file's encoding become bytes that are invalid UTF-8, so that the
        reader can report the record that has them.

    Raises:
        Exception: one of `READ_ERRORS`, here or when the stream is read.
    """
    raw = open(file, "rb", buffering=0)
    stream = _decompressed(raw, file)
    if begin:
        stream.seek(begin)
        return stream, raw
    recoding = _recoding(stream, encoding)
    if recoding is None:
        return stream, raw
    errors = "surrogatepass" if recoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    recoded = io.BufferedReader(_Recoded(stream, recoding, errors), _HEAD_BYTES)
    return cast(BinaryIO, recoded), raw


def is_splittable(file: str, encoding: str) -> bool:
    """Whether reading can begin at any line: the file is UTF-8 and not compressed."""
    form = format_of(file)
    if form is None or form.compression:
        return False
    try:
        if format_mismatch(file):
            return False
        with open(file, "rb", buffering=_HEAD_BYTES) as stream:
            return _recoding(stream, encoding) is None
    except (OSError, DataRefused):
        return False  # the reader reports the error


def _decompressed(raw: Any, file: str) -> Any:
    form = format_of(file)
    compression = form.compression if form else ""
    if compression == ".gz":
        return gzip.open(raw)
    if compression == ".zst":
        return io.BufferedReader(pa.input_stream(raw, compression="zstd"), _HEAD_BYTES)
    return io.BufferedReader(raw, _HEAD_BYTES)


def _recoding(stream: Any, encoding: str) -> str | None:
    """The encoding to decode a file by; None if the file is UTF-8 already.

    Peeks at the beginning of the file, and does not advance the stream.

    Raises:
        UnmarkedEncoding: the file seems to be UTF-16 without a byte order mark.
    """
    head = stream.peek(_HEAD_BYTES)
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return marked
    if head.startswith(BYTE_ORDER_MARK):
        encoding = "utf-8"
    if codecs.lookup(encoding).name != "utf-8":
        return encoding
    nul = head[::2].count(0), head[1::2].count(0)
    if sum(nul) > _NUL_SHARE * len(head):
        guess = "utf-16-be" if nul[0] > nul[1] else "utf-16-le"
        raise UnmarkedEncoding(
            f"seems to be UTF-16 without a byte order mark: set ingestion.encoding={guess}, or"
            " convert the file to UTF-8"
        )
    only_returns = b"\r" in head and b"\n" not in head
    return "utf-8" if only_returns else None


class _Recoded(io.RawIOBase):
    """A stream of text recoded to UTF-8, with all line ends as line feeds."""

    def __init__(self, stream: Any, encoding: str, errors: str) -> None:
        super().__init__()
        self._stream = stream
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._errors = errors
        self._recoded = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._recoded:
            block = self._stream.read1(_HEAD_BYTES)
            text = self._decoder.decode(block, final=not block)
            self._recoded = text.encode("utf-8", self._errors)
            if not block:
                break
        data, self._recoded = self._recoded[: len(buffer)], self._recoded[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
