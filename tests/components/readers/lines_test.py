"""Tests of reading lines: numbers, line ends, byte order marks, and lines that are too long."""

from __future__ import annotations

import io
from typing import Any

import pytest

from components.readers.lines import Line, Lines
from components.readers.parts import FilePart
from components.readers.records import Fault


def lines(content: bytes, **part: Any) -> list[Line]:
    return [*Lines(io.BytesIO(content), FilePart("a.txt", **part), 5)]


def test_line_ends_and_byte_order_marks_are_removed() -> None:
    mark = b"\xef\xbb\xbf"
    assert lines(mark + b"one\r\n\n" + mark + b"12345\r\r\nlast") == [
        Line(1, b"one", None, marked=True),
        Line(2, b""),
        Line(3, b"12345", None, marked=True),
        Line(4, b"last"),
    ]


def test_a_line_that_is_too_long_keeps_its_beginning() -> None:
    found = lines(b"123456\n" + b"x" * 5_000 + b"\nlast\n")
    fault = "too long: more than 5 bytes"
    assert found[:2] == [Line(1, b"123456", fault), Line(2, found[1].data, fault)]
    assert b"x" * 5 < found[1].data < b"x" * 1_025
    assert found[2] == Line(3, b"last")


def test_a_part_has_only_its_own_lines() -> None:
    assert lines(b"one\ntwo\nsix\n", end=8, line=7) == [Line(7, b"one"), Line(8, b"two")]


class Damaged(io.BytesIO):
    """Raises EOFError at the end of its content."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line:
            raise EOFError("cut off")
        return line


def test_a_read_error_ends_the_lines_and_is_kept() -> None:
    found = Lines(Damaged(b"one\npart"), FilePart("a.txt"), 5)
    assert [*found] == [Line(1, b"one")]
    assert isinstance(found.error, EOFError)
    assert found.number == 2


def test_a_line_is_decoded_when_its_text_is_read() -> None:
    assert Line(1, b"one").text() == "one"
    with pytest.raises(Fault, match="not UTF-8: byte 0xff at 0"):
        Line(1, b"\xff").text()
    with pytest.raises(Fault, match="known fault"):
        Line(1, b"one", "known fault").text()
    assert Line(1, b"x" * 100).start() == "x" * 80
