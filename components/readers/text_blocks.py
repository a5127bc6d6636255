"""Reads plain text files, in which blank lines separate documents."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from components.readers.lines import Line, Lines
from components.readers.parts import is_blank
from components.readers.records import Row, too_long_reason

_MIN_WRAPPED_LINES = 4  # fewer lines may be verse, a list or an address
_WRAPPED_CHARACTERS = (40, 100)
_SENTENCE_ENDS = tuple(".!?:;\"'”’)]…。！？：；」』）")
_WIDE = "[\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]"
_LINE_END_IN_CHINESE = re.compile(rf"(?<={_WIDE})[^\S\n]*\n[^\S\n]*(?={_WIDE})")
_LINE_END = re.compile(r"[^\S\n]*\n[^\S\n]*")


def text_rows(lines: Lines, max_bytes: int, *, whole: bool, join: bool) -> Iterator[Row]:
    """Yields the documents of a .txt file, separated by blank lines and byte order marks.

    Args:
        lines: the lines of the file.
        max_bytes: maximum size of a document.
        whole: whether the whole file is one document.
        join: whether the lines of each paragraph are joined.
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
    """Collects the lines of a document, which are at most `max_bytes` in memory."""

    def __init__(self, number: int, max_bytes: int, join: bool) -> None:
        self._number = number
        self._max_bytes = max_bytes
        self._join = join
        self._data = bytearray()
        self._fault: str | None = None

    def add(self, line: Line) -> None:
        if len(self._data) + len(line.data) > self._max_bytes:
            self._fault = self._fault or too_long_reason(self._max_bytes)
        self._fault = self._fault or line.fault
        if not self._fault or not self._data:
            self._data += (b"\n" if self._data else b"") + line.data

    def row(self) -> Row:
        line = Line(self._number, bytes(self._data).rstrip(b"\n"), self._fault)

        def value() -> Mapping[str, Any]:
            text = line.text()
            return {"text": _join_lines(text) if self._join else text}

        return Row(line.number, line.start, value, not self._join and _is_hard_wrapped(line.data))


def _is_hard_wrapped(data: bytes) -> bool:
    """Whether a text seems wrapped at a page width: most lines end in the middle of a sentence."""
    if data.count(b"\n") + 1 < _MIN_WRAPPED_LINES:
        return False
    lines = [line.rstrip() for line in data.decode(errors="replace").split("\n")]
    lines = [line for line in lines[:-1] if line]
    if len(lines) + 1 < _MIN_WRAPPED_LINES:
        return False
    min_median, max_length = _WRAPPED_CHARACTERS
    without_sentence_end = sum(not line.endswith(_SENTENCE_ENDS) for line in lines)
    return (
        min_median <= statistics.median(map(len, lines))
        and max(map(len, lines)) <= max_length
        and 2 * without_sentence_end > len(lines)
    )


def _join_lines(text: str) -> str:
    """Joins the lines of each paragraph by spaces, or by nothing between Chinese characters."""
    paragraphs = re.split(r"\n[^\S\n]*\n+", text)
    return "\n".join(
        _LINE_END.sub(" ", _LINE_END_IN_CHINESE.sub("", paragraph)) for paragraph in paragraphs
    )
