"""Opens a text file as lines of UTF-8, whatever its compression, encoding and line ends.

A byte order mark at the front decides the encoding. Without one it is the configured encoding.
"""

import codecs
import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

import pyarrow as pa

from components.readers.formats import format_mismatch, format_of
from models.errors import DataRefused

MARK = codecs.BOM_UTF8
"""UTF-8's byte order mark: no text, wherever files were joined."""
DAMAGED = (EOFError, OSError, zlib.error, UnicodeError, pa.ArrowException)
"""What reading a damaged file raises."""

_HEAD_BYTES = 1 << 16
_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUL_SHARE = 0.2  # of English in UTF-16 half the bytes are NUL, of text in UTF-8 none


class UnmarkedEncoding(OSError):
    """The file's bytes are those of another encoding, and no byte order mark says so."""


def open_lines(file: str, begin: int, encoding: str) -> tuple[BinaryIO, BinaryIO]:
    """Opens a file.

    Args:
        file: its path; the name says how it is compressed.
        begin: the byte to begin at; 0 unless `is_plain`.
        encoding: that of a file without a byte order mark.

    Returns:
        Lines of UTF-8 that end with a line feed, and the file that they come from. Bytes that the
        encoding does not have are passed on as bytes that are not UTF-8, so that the reader can
        say in which record they are.

    Raises:
        Exception: one of `DAMAGED`, as does reading what is returned.
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


def is_plain(file: str, encoding: str) -> bool:
    """Whether reading can begin at any line: the file's bytes are lines of UTF-8 as they are."""
    form = format_of(file)
    if form is None or form.compression:
        return False
    try:
        if format_mismatch(file):
            return False
        with open(file, "rb", buffering=_HEAD_BYTES) as stream:
            return _recoding(stream, encoding) is None
    except (OSError, DataRefused):
        return False  # the reader says what is wrong


def _decompressed(raw: Any, file: str) -> Any:
    form = format_of(file)
    compression = form.compression if form else ""
    if compression == ".gz":
        return gzip.open(raw)
    if compression == ".zst":
        return io.BufferedReader(pa.input_stream(raw, compression="zstd"), _HEAD_BYTES)
    return io.BufferedReader(raw, _HEAD_BYTES)


def _recoding(stream: Any, encoding: str) -> str | None:
    """The encoding to decode a file by; None if its bytes are lines of UTF-8 as they are.

    Looks at the file's beginning, without taking it away.
    """
    head = stream.peek(_HEAD_BYTES)
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return marked
    if head.startswith(MARK):
        encoding = "utf-8"
    if codecs.lookup(encoding).name != "utf-8":
        return encoding
    nul = head[::2].count(0), head[1::2].count(0)
    if sum(nul) > _NUL_SHARE * len(head):
        guess = "utf-16-be" if nul[0] > nul[1] else "utf-16-le"
        raise UnmarkedEncoding(
            f"looks like UTF-16 without a byte order mark: set ingestion.encoding={guess}, or"
            " write it as UTF-8"
        )
    only_returns = b"\r" in head and b"\n" not in head
    return "utf-8" if only_returns else None


class _Recoded(io.RawIOBase):
    """The bytes of a text in UTF-8, its line ends as line feeds."""

    def __init__(self, stream: Any, encoding: str, errors: str) -> None:
        super().__init__()
        self._stream = stream
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._errors = errors
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = self._stream.read1(_HEAD_BYTES)
            text = self._decoder.decode(block, final=not block)
            self._left = text.encode("utf-8", self._errors)
            if not block:
                break
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self._stream.close()
        super().close()
