"""Tests of `RecordReader`: every format, and every reason why a record is malformed."""

from __future__ import annotations

import gzip
import json
import pathlib
import tracemalloc
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.documents import Document
from components.readers.parts import FilePart
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader
from tests.components import any_input

READER = RecordReader(lang="en", max_record_bytes=100)


def read(path: pathlib.Path, content: bytes | str) -> list[Record | Malformed | Unreadable]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(READER.read(FilePart(str(path))))


def faults(records: Any) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in records if isinstance(item, Malformed)]


def texts(records: Any) -> list[tuple[int, str]]:
    return [(item.line, item.document.text) for item in records if isinstance(item, Record)]


def test_json_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "news-2020.jsonl"
    lines = [
        '{"id": "x", "text": "Cafe\\u0301", "source": "s", "lang": "fr", "timestamp": -86400}',
        "",
        '{"id": 7, "text": "two", "more": [1]}\r',
        '{"text": "three\\u0000", "id": ""}',
    ]
    id_from_text = "text-0cc4ff216bb3231e4ab6d451a4728e93"
    assert read(path, "\ufeff" + "\n".join(lines)) == [
        Record(str(path), 1, Document("x", "Café", "s", "fr", -86400), False),
        Record(str(path), 3, Document("7", "two", "news", "en", 0), False),
        Record(str(path), 4, Document(id_from_text, "three\x00", "news", "en", 0), True),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut sh', "not JSON: Unterminated string starting at, column 10"),
        (b'{"text": "cut"', "not JSON: Expecting ',' delimiter, column 15"),
        (b'{"text": "\xff"}', "not UTF-8: byte 0xff at 10"),
        (b'["text"]', "not a JSON object: list"),
        (b'{"id": "a"}', "no text: no field 'text'; there are: id"),
        (
            b'{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0}',
            "no text: no field 'text'; there are: a, b, c, d, e, …",
        ),
        (b'{"text": "x", "text": "y"}', "duplicate key: 'text'"),
        (
            b'{"text": "x", "timestamp": 1700000000000}',
            "bad timestamp: 1700000000000 is not in the years 1 to 2999, counted in seconds since"
            " 1970; are these milliseconds?",
        ),
        (b'{"text": null}', "no text"),
        (b'{"text": 3}', "text is not a string: int"),
        (b'{"text": " \\n"}', "text is empty"),
        (b'{"text": "\\ud800 x"}', "lone surrogate: in text"),
        (b'{"text": "x", "id": "\\udc00"}', "lone surrogate: in id"),
        (b'{"text": "x", "id": true}', "id is neither string nor integer: bool"),
        (b'{"text": "x", "lang": 1}', "lang is not a string: int"),
        (b'{"text": "x", "source": {}}', "source is not a string: dict"),
        (b'{"text": "x", "timestamp": "soon"}', "bad timestamp: 'soon'"),
        (b'{"text": "x", "timestamp": [1]}', "bad timestamp: [1]"),
        (b'{"text": "' + b"x" * 100 + b'"}', "too long: more than 100 bytes"),
    ],
)
def test_a_malformed_line_is_reported_and_the_others_are_read(
    tmp_path: pathlib.Path, line: bytes, reason: str
) -> None:
    good = b'{"text": "good"}'
    found = read(tmp_path / "a.jsonl", b"\n".join([good, line, good]))
    assert faults(found) == [(2, reason)]
    assert texts(found) == [(1, "good"), (3, "good")]


def test_deep_nesting_is_malformed(tmp_path: pathlib.Path) -> None:
    reader = RecordReader(lang="en", max_record_bytes=1_000_000)
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 200_000)
    (item,) = reader.read(FilePart(str(path)))
    assert isinstance(item, Malformed)
    assert item.kind == "not JSON"


def test_a_record_as_long_as_allowed_is_kept(tmp_path: pathlib.Path) -> None:
    line = json.dumps({"text": "x" * 88})
    assert len(line) == 100
    assert texts(read(tmp_path / "a.jsonl", f"{line}\r\n{line}")) == [(1, "x" * 88), (2, "x" * 88)]
    assert faults(read(tmp_path / "b.jsonl", f"{line} \n{line} ")) == [
        (1, "too long: more than 100 bytes"),
        (2, "too long: more than 100 bytes"),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_a_line_of_50_megabytes_is_not_held_in_memory(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with open(path, "wb") as stream:
        stream.write(b'{"text": "first"}\n\n')
        for _ in range(50):
            stream.write(b"x" * 1_000_000)
        stream.write(b'\n\n{"text": "last"}\n')
    tracemalloc.start()
    found = list(READER.read(FilePart(str(path))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert found[1] == Malformed(str(path), 3, "too long: more than 100 bytes", "x" * 80)
    assert found[2].line == 5
    assert peak < 8_000_000


def test_text_documents_are_separated_by_blank_lines(tmp_path: pathlib.Path) -> None:
    content = "\n\none\nstill one\r\n \t\n\n\ntwo\n"
    found = read(tmp_path / "a.txt", content)
    assert texts(found) == [(3, "one\nstill one"), (8, "two")]
    assert all(isinstance(item, Record) and item.id_from_text for item in found)


def test_a_malformed_text_document_is_reported_and_the_others_are_read(
    tmp_path: pathlib.Path,
) -> None:
    long = b"\n".join([b"y" * 40] * 3)
    found = read(tmp_path / "a.txt", b"one\n\ntwo\n\xff\n\nthree\n\n" + long + b"\n\nfour")
    assert faults(found) == [(3, "not UTF-8: byte 0xff at 4"), (8, "too long: more than 100 bytes")]
    assert texts(found) == [(1, "one"), (6, "three"), (12, "four")]


def test_gzip(tmp_path: pathlib.Path) -> None:
    found = read(tmp_path / "part-00001.jsonl.gz", gzip.compress(b'{"text": "one"}\n'))
    assert texts(found) == [(1, "one")]
    assert isinstance(found[0], Record)
    assert found[0].document.source == "part"


def test_a_truncated_gzip_keeps_the_lines_before_the_cut(tmp_path: pathlib.Path) -> None:
    lines = [json.dumps({"text": f"{n} {hash((n, 'x'))}"}) for n in range(5000)]
    whole = gzip.compress("\n".join(lines).encode())
    found = read(tmp_path / "a.jsonl.gz", whole[: len(whole) // 2])
    kept = texts(found)
    assert len(kept) > 1000
    assert [json.dumps({"text": text}) for _, text in kept] == lines[: len(kept)]
    assert found[-1] == Unreadable(
        str(tmp_path / "a.jsonl.gz"),
        len(kept) + 1,
        "damaged file: Compressed file ended before the end-of-stream marker was reached",
        size=len(whole) // 2,
        lost_bytes=0,
        lost_records=None,
    )


def test_a_gzip_with_a_flipped_bit_is_unreadable(tmp_path: pathlib.Path) -> None:
    whole = bytearray(gzip.compress(b'{"text": "one"}\n'))
    whole[-6] ^= 1  # the checksum
    found = read(tmp_path / "a.jsonl.gz", bytes(whole))
    assert [type(item) for item in found if not isinstance(item, Record)] == [Unreadable]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.txt", gzip.compress(b"one\n\ntwo", mtime=0), "named .txt, but is gzip"),
        ("a.jsonl", b"PAR1 and more", "named .jsonl, but is Parquet"),
        ("a.csv", b"PK\x03\x04 and more", "named .csv, but is a ZIP file"),
        ("a.tsv.gz", b"text\n", "named .gz, but is not gzip"),
    ],
)
def test_a_file_of_another_format_than_its_name_implies_is_unreadable(
    tmp_path: pathlib.Path, name: str, content: bytes, what: str
) -> None:
    (found,) = read(tmp_path / name, content)
    assert isinstance(found, Unreadable)
    assert found.reason == f"damaged file: {what}"
    assert found.lost_bytes == len(content)


def test_empty_records_are_not_errors(tmp_path: pathlib.Path) -> None:
    lines = '{"text": ""}\n{"text": null}\n{"text": "one"}\n'
    found = [item for item in read(tmp_path / "a.jsonl", lines) if isinstance(item, Malformed)]
    assert [(item.reason, item.empty) for item in found] == [
        ("text is empty", True),
        ("no text", False),
    ]
    for name in ("b.jsonl", "b.txt", "b.jsonl.gz", "b.parquet"):
        (item,) = read(tmp_path / name, "")
        assert isinstance(item, Malformed)
        assert (item.reason, item.empty) == ("no record in the file", True)


def test_a_file_of_blank_lines_is_reported(tmp_path: pathlib.Path) -> None:
    assert faults(read(tmp_path / "a.jsonl", "\n \n")) == [(1, "no record in the file")]
    assert faults(read(tmp_path / "a.txt", "\n \n")) == [(1, "no record in the file")]


@settings(deadline=None)
@given(any_input.files(), st.sampled_from([1, 1 << 20]))
def test_files_of_any_format_are_read(
    tmp_path_factory: pytest.TempPathFactory, file: any_input.Written, size: int
) -> None:
    found = any_input.read(file, tmp_path_factory.mktemp("any"), size)
    documents = [item.document.text for item in found if isinstance(item, Record)]
    assert documents == any_input.normal(file.texts)
    assert all(item.empty for item in found if not isinstance(item, Record))


@settings(deadline=None)
@given(any_input.damaged(), st.sampled_from([1, 1 << 20]), st.booleans(), st.booleans())
def test_any_damage_is_reported(
    tmp_path_factory: pytest.TempPathFactory,
    file: any_input.Written,
    size: int,
    whole: bool,
    join: bool,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    any_input.check(file, folder, size, document_per_file=whole, join_lines=join)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])).filter(lambda t: t.strip()))
def test_any_json_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "a.jsonl"
    path.write_text(json.dumps({"text": text}))
    (item,) = RecordReader(lang="en", max_record_bytes=100_000).read(FilePart(str(path)))
    assert isinstance(item, Record)
    assert item.document.text == unicodedata.normalize("NFC", text)
