"""Plain text: what blank lines separate is a document."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from components.readers.lines import Line, Lines
from components.readers.parts import is_blank
from components.readers.records import Row, too_long

_WRAPPED_LINES = 4  # fewer are verse, a list or an address
_WRAPPED_CHARACTERS = (40, 100)
_SENTENCE_ENDS = tuple(".!?:;\"'”’)]…。！？：；」』）")
_WIDE = "[\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]"
_CLOSE = re.compile(rf"(?<={_WIDE})[^\S\n]*\n[^\S\n]*(?={_WIDE})")
_SPACED = re.compile(r"[^\S\n]*\n[^\S\n]*")


def text_rows(lines: Lines, max_bytes: int, *, whole: bool, join: bool) -> Iterator[Row]:
    """Yields the documents of a .txt file, which blank lines and byte order marks separate.

    Args:
        lines: the file's.
        max_bytes: of a document.
        whole: whether the file is one document.
        join: whether a paragraph's lines are joined.
    """
    block: _Block | None = None
    for line in lines:
        blank = not line.fault and is_blank(line.data)
        if block and not whole and (blank or line.marked):
            yield block.row()
            block = None
        if not blank or (whole and block):
            block = block or _Block(line.number, max_bytes, join)
            block.add(line)
    if block and not lines.error:
        yield block.row()


class _Block:
    """A document of a .txt file: its lines up to a blank one, in one piece of memory."""

    def __init__(self, number: int, max_bytes: int, join: bool) -> None:
        self._number = number
        self._max_bytes = max_bytes
        self._join = join
        self._data = bytearray()
        self._fault: str | None = None

    def add(self, line: Line) -> None:
        if len(self._data) + len(line.data) > self._max_bytes:
            self._fault = self._fault or too_long(self._max_bytes)
        self._fault = self._fault or line.fault
        if not self._fault or not self._data:
            self._data += (b"\n" if self._data else b"") + line.data

    def row(self) -> Row:
        line = Line(self._number, bytes(self._data).rstrip(b"\n"), self._fault)

        def value() -> Mapping[str, Any]:
            text = line.text()
            return {"text": _joined_lines(text) if self._join else text}

        return Row(line.number, line.start, value, not self._join and _wrapped(line.data))


def _wrapped(data: bytes) -> bool:
    """Whether most lines of a text are about as long as a page is wide and end no sentence."""
    if data.count(b"\n") + 1 < _WRAPPED_LINES:
        return False
    lines = [line.rstrip() for line in data.decode(errors="replace").split("\n")]
    lines = [line for line in lines[:-1] if line]
    if len(lines) + 1 < _WRAPPED_LINES:
        return False
    least, most = _WRAPPED_CHARACTERS
    cut = sum(not line.endswith(_SENTENCE_ENDS) for line in lines)
    return (
        least <= statistics.median(map(len, lines))
        and max(map(len, lines)) <= most
        and 2 * cut > len(lines)
    )


def _joined_lines(text: str) -> str:
    """A text whose paragraphs are lines: a space between two lines, none between Chinese ones."""
    paragraphs = re.split(r"\n[^\S\n]*\n+", text)
    return "\n".join(_SPACED.sub(" ", _CLOSE.sub("", paragraph)) for paragraph in paragraphs)
