"""Tests of splitting files: all parts together give the records and line numbers of the file."""

from __future__ import annotations

import gzip
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.readers.parts import FilePart, split_file
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader

READER = RecordReader(lang="en", max_record_bytes=100)


def read(parts: list[FilePart]) -> list[Record | Malformed | Unreadable]:
    return [item for part in parts for item in READER.read(part)]


def test_json_lines_are_split_between_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "one"}\n' * 10)  # 16 bytes each
    assert list(split_file(str(path), 64)) == [
        FilePart(str(path), 0, 64, 1),
        FilePart(str(path), 64, 128, 5),
        FilePart(str(path), 128, None, 9),
    ]
    assert list(split_file(str(path), 160)) == [FilePart(str(path))]


def test_text_is_split_between_documents(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\nstill\n\ntwo\nstill\n \t\nthree")
    assert list(split_file(str(path), 2)) == [
        FilePart(str(path), 0, 11, 1),
        FilePart(str(path), 11, 24, 4),
        FilePart(str(path), 24, None, 7),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_file_of_blank_lines_is_one_part(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b" \n" * 100)
    assert [*split_file(str(path), 50)] == [FilePart(str(path))]
    path.write_bytes(b" \n" * 100 + b"x")
    assert len([*split_file(str(path), 50)]) > 1


def test_gzip_is_one_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "one"}\n' * 10))
    assert list(split_file(str(path), 10)) == [FilePart(str(path))]


def test_parquet_is_split_between_row_groups(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {n}" for n in range(10)]})
    pa.parquet.write_table(table, path, row_group_size=4)
    parts = list(split_file(str(path), 1))
    assert parts == [
        FilePart(str(path), 0, 1, 1),
        FilePart(str(path), 1, 2, 5),
        FilePart(str(path), 2, None, 9),
    ]
    assert list(split_file(str(path))) == [FilePart(str(path))]
    assert read(parts) == read([FilePart(str(path))])


def test_invalid_or_empty_parquet_is_one_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not Parquet really PAR1")
    assert list(split_file(str(path), 1)) == [FilePart(str(path))]
    pa.parquet.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    assert list(split_file(str(path), 1)) == [FilePart(str(path))]


@settings(deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            [b"", b" \t", b"one", b"x" * 120, b"\xff", json.dumps({"text": "t"}).encode(), b"\r"]
        )
    ),
    size=st.integers(1, 200),
    suffix=st.sampled_from([".jsonl", ".txt"]),
    ended=st.booleans(),
)
def test_parts_give_the_records_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    size: int,
    suffix: str,
    ended: bool,
) -> None:
    path = tmp_path_factory.mktemp("parts") / f"a{suffix}"
    path.write_bytes(b"\n".join(lines) + b"\n" * ended)
    whole = read([FilePart(str(path))])
    parts = list(split_file(str(path), size))
    assert read(parts) == whole
    assert all(part.begin < (part.end or path.stat().st_size) for part in parts[:-1])
