"""Reads a file line by line, with at most one line in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from components.readers.parts import FilePart
from components.readers.records import Fault, decode, excerpt, too_long_reason
from components.readers.streams import BYTE_ORDER_MARK, READ_ERRORS

_SKIP_BYTES = 1 << 20
_KEPT_BYTES = 1024  # of a line that is too long


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: counted from 1.
        data: the line without its line end; if it is malformed, only its beginning.
        fault: why the line is malformed; None if it is not.
        marked: whether the line begins with a byte order mark, which is where a concatenated file
            begins.
    """

    number: int
    data: bytes
    fault: str | None = None
    marked: bool = False

    def text(self) -> str:
        """The line as text.

        Raises:
            Fault: the line is malformed.
        """
        if self.fault:
            raise Fault(self.fault)
        return decode(self.data)

    def start(self) -> str:
        """The first characters of the line, for messages."""
        return excerpt(self.data)


class Lines:
    """Iterates over the lines of a part of a file; a line that is too long is malformed.

    Args:
        stream: lines of UTF-8, as `open_lines` gives them.
        part: the part, which begins where the stream is.
        max_bytes: maximum length of a line.

    Attributes:
        number: number of the last line that was read, or of the line where reading failed.
        error: the error that ended reading early; None if there was none.
    """

    def __init__(self, stream: Any, part: FilePart, max_bytes: int) -> None:
        self.number = part.line - 1
        self.error: BaseException | None = None
        self._stream = stream
        self._end = part.end
        self._max_bytes = max_bytes

    def __iter__(self) -> Iterator[Line]:
        while self._end is None or self._stream.tell() < self._end:
            self.number += 1
            try:
                data = self._stream.readline(self._max_bytes + len(BYTE_ORDER_MARK) + 2)
                rest = data
                while rest and not rest.endswith(b"\n"):
                    rest = self._stream.readline(_SKIP_BYTES)
            except READ_ERRORS as error:
                # Stops here, because where the damaged line ends is unknown.
                self.error = error
                return
            if not data:
                return
            marked = data.startswith(BYTE_ORDER_MARK)
            line = data.removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n")
            if len(line) > self._max_bytes:
                fault = too_long_reason(self._max_bytes)
                yield Line(self.number, line[:_KEPT_BYTES], fault, marked)
            else:
                yield Line(self.number, line, None, marked)
