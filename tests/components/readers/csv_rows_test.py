"""Tests of reading CSV and TSV: quotes, line ends in fields, and malformed lines."""

from __future__ import annotations

import csv
import io
import pathlib
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.documents import Document
from components.readers.parts import FilePart
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader


def read(path: pathlib.Path, content: bytes | str, **options: Any) -> Any:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    reader = RecordReader(**({"lang": "en", "max_record_bytes": 100} | options))
    return [*reader.read(FilePart(str(path)))]


def lines_and_texts(found: list[Record | Malformed | Unreadable]) -> list[tuple[int, str]]:
    return [
        (item.line, item.document.text if isinstance(item, Record) else item.reason)
        for item in found
    ]


def test_columns_by_the_header(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.csv"
    content = (
        "\ufeffid, text ,lang,source,timestamp,more\r\n"
        'a,"One, ""quoted"",\r\nin two.",de,s,1700000000,x\r\n'
        "\r\n"
        ",Two.,,,2001-02-27,\r\n"
    )
    found = read(path, content)
    assert found == [
        Record(
            str(path),
            2,
            Document("a", 'One, "quoted",\nin two.', "s", "de", 1700000000),
            False,
        ),
        Record(str(path), 5, found[1].document, True),
    ]
    assert found[1].document[1:] == ("Two.", "a", "en", 983232000)
    assert lines_and_texts(read(tmp_path / "a.tsv", "id\ttext\nb\tOne, two\n")) == [(2, "One, two")]


def test_a_malformed_row_affects_no_other_row(tmp_path: pathlib.Path) -> None:
    rows = [b"text,id", b"one,1", b"two", b"three,3,3", b'"four" x,4', b"f\xffve,5", b"six,6"]
    assert lines_and_texts(read(tmp_path / "a.csv", b"\n".join(rows))) == [
        (2, "one"),
        (3, "not CSV: 1 fields where the header has 2"),
        (4, "not CSV: 3 fields where the header has 2"),
        (5, "not CSV: ',' expected after '\"'"),
        (6, "not UTF-8: byte 0xff at 1"),
        (7, "six"),
    ]


def test_an_unclosed_quote_affects_only_its_line(tmp_path: pathlib.Path) -> None:
    lines = ["text,id", "one,1", '"two,2', "three,3", "four,4"]
    assert lines_and_texts(read(tmp_path / "a.csv", "\n".join(lines))) == [
        (2, "one"),
        (3, "not CSV: unexpected end of data"),
        (4, "three"),
        (5, "four"),
    ]
    long = ["text,id", '"two,2', *["x" * 40 + ",0"] * 4]
    assert lines_and_texts(read(tmp_path / "a.csv", "\n".join(long))) == [
        (2, "too long: more than 100 bytes"),
        *((number, "x" * 40) for number in range(3, 7)),
    ]


def test_missing_and_duplicate_columns_are_malformed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.csv"
    assert lines_and_texts(read(path, "body,id\none,1\n")) == [
        (2, "no text: no field 'text'; there are: body, id")
    ]
    assert lines_and_texts(read(path, "body,id\none,1\n", text_field="body")) == [(2, "one")]
    assert lines_and_texts(read(path, "text,text\none,two\n")) == [(2, "duplicate key: 'text'")]


def test_a_repeated_header_is_not_a_document(tmp_path: pathlib.Path) -> None:
    found = read(tmp_path / "a.csv", "text,id\none,1\n\ufefftext,id\ntwo,2\n")
    assert lines_and_texts(found) == [(2, "one"), (4, "two")]
    found = read(tmp_path / "a.csv", "text,id\none,1\n id ,text\n2,two\n")
    assert lines_and_texts(found) == [(2, "one"), (4, "two")]


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("1700000000", 1_700_000_000), ("-86400.5", -86_401), ("946684800", 946_684_800), ("", 0)],
)
def test_seconds_in_a_cell(tmp_path: pathlib.Path, cell: str, seconds: int) -> None:
    (found,) = read(tmp_path / "a.csv", f"text,timestamp\nx,{cell}\n")
    assert found.document.timestamp == seconds


@pytest.mark.parametrize("cell", ["20240501", "2024", "1e9", "1700000000000"])
def test_a_number_that_may_be_a_date_is_malformed(tmp_path: pathlib.Path, cell: str) -> None:
    (found,) = read(tmp_path / "a.csv", f"text,timestamp\nx,{cell}\n")
    assert found.kind == "bad timestamp"


def test_long_fields_and_files_without_records(tmp_path: pathlib.Path) -> None:
    long = "x" * 200_000  # longer than the csv module's default limit
    found = read(tmp_path / "a.csv", f"text\n{long}\n", max_record_bytes=1_000_000)
    assert lines_and_texts(found) == [(2, long)]
    for content in ("", "text,id\n", "\n\n"):
        assert lines_and_texts(read(tmp_path / "a.csv", content)) == [(1, "no record in the file")]


@settings(deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\ufeff")).filter(
            str.strip
        ),
        min_size=1,
    ),
    kind=st.sampled_from(["csv", "tsv"]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_files_of_pythons_csv_writer_are_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], kind: str, ends: str
) -> None:
    out = io.StringIO(newline="")
    dialect: Any = csv.excel_tab if kind == "tsv" else csv.excel
    writer = csv.writer(out, dialect, lineterminator=ends)
    writer.writerows([["id", "text"], *([str(n), text] for n, text in enumerate(texts))])
    path = tmp_path_factory.mktemp("csv") / f"a.{kind}"
    found = read(path, out.getvalue(), max_record_bytes=1_000_000)
    assert [item.document.text for item in found] == [
        unicodedata.normalize("NFC", text) for text in texts
    ]
