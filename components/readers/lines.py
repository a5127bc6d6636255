"""The lines of a file, each held by itself and no longer than a record may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from components.readers.parts import FilePart
from components.readers.records import Fault, beginning, decode, too_long
from components.readers.streams import DAMAGED, MARK

_SKIP_BYTES = 1 << 20
_KEPT_BYTES = 1024  # of a line that is too long


class Line(NamedTuple):
    """A line without its end, or the beginning of one that is at fault."""

    number: int
    data: bytes
    fault: str | None = None
    marked: bool = False  # by a byte order mark: a file that was joined begins here

    def text(self) -> str:
        """The line as text; raises `Fault`."""
        if self.fault:
            raise Fault(self.fault)
        return decode(self.data)

    def start(self) -> str:
        """How it begins."""
        return beginning(self.data)


class Lines:
    """The lines of a part without their ends; of one that is too long, its beginning and a fault.

    Attributes:
        number: of the line that was read last, or in which the damage is.
        error: what ended the reading before its end.
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
                data = self._stream.readline(self._max_bytes + len(MARK) + 2)
                rest = data
                while rest and not rest.endswith(b"\n"):
                    rest = self._stream.readline(_SKIP_BYTES)
            except DAMAGED as error:
                self.error = error  # of the line that it is in nobody knows the end
                return
            if not data:
                return
            marked = data.startswith(MARK)
            line = data.removeprefix(MARK).rstrip(b"\r\n")
            if len(line) > self._max_bytes:
                fault = too_long(self._max_bytes)
                yield Line(self.number, line[:_KEPT_BYTES], fault, marked)
            else:
                yield Line(self.number, line, None, marked)
