"""Tests of reading JSON Lines, including concatenated files."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from components.readers.parts import FilePart
from components.readers.records import Record
from components.readers.text_records import RecordReader


def read(path: pathlib.Path, content: bytes) -> list[tuple[int, str]]:
    path.write_bytes(content)
    found: Any = RecordReader(lang="en", max_record_bytes=1_000).read(FilePart(str(path)))
    return [
        (item.line, item.document.text if isinstance(item, Record) else item.reason)
        for item in found
    ]


ONE, TWO = b'{"text": "one"}', b'{"text": "two"}'
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("between", [b"", b" ", b"\t \r", MARK, b" " + MARK])
def test_several_objects_on_one_line(tmp_path: pathlib.Path, between: bytes) -> None:
    path = tmp_path / "a.jsonl"
    assert read(path, ONE + between + TWO + b"\n" + TWO) == [(1, "one"), (1, "two"), (2, "two")]


def test_a_line_whose_second_object_is_bad_is_malformed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.jsonl"
    assert read(path, ONE + b'{"text": "}{"') == [(1, "not JSON: Extra data, column 16")]
    assert read(path, ONE + b'[{"text": "two"}]') == [(1, "not JSON: Extra data, column 16")]
    assert read(path, b'{"text": "}{}{}"}') == [(1, "}{}{}")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_byte_order_marks_at_the_beginning_of_any_line_are_not_text(
    tmp_path: pathlib.Path, end: bytes
) -> None:
    content = MARK + ONE + end + MARK + TWO + end + MARK + end + MARK + MARK[:2] + end
    assert read(tmp_path / "a.jsonl", content) == [
        (1, "one"),
        (2, "two"),
        (4, "not UTF-8: byte 0xef at 0"),
    ]
    assert read(tmp_path / "a.jsonl", b'{"text": "\\ufeffone"}') == [(1, "one")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text": "x", "text": "x"}', "duplicate key: 'text'"),
        (b'{"text": "x", "more": 1, "more": 2}', "duplicate key: 'more'"),
        (b'{"text": "x", "more": {"a": 1, "a": 2}}', "x"),
        (b'{"text": "x", "more": NaN}', "x"),
        (b'{"text": "x", "timestamp": 1e999}', "bad timestamp: inf"),
        (b'{"text": "x", "timestamp": ' + b"9" * 900 + b"}", None),
    ],
)
def test_unusual_objects(tmp_path: pathlib.Path, line: bytes, expected: str | None) -> None:
    ((number, found),) = read(tmp_path / "a.jsonl", line)
    assert number == 1
    assert found == expected if expected else found.startswith("bad timestamp: ")


@pytest.mark.parametrize("blank", ["", " ", "\u3000", "\u00a0\t", "\u2003\u2028", "\ufeff"])
def test_lines_of_white_space_are_not_records(tmp_path: pathlib.Path, blank: str) -> None:
    content = ONE + b"\n" + blank.encode() + b"\n" + TWO + b"\n"
    assert read(tmp_path / "a.jsonl", content) == [(1, "one"), (3, "two")]
