"""Tests of reading Parquet: columns of every type, and files with damaged pages."""

from __future__ import annotations

import datetime
import decimal
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from components.documents import Document
from components.readers.parquet_rows import column_values
from components.readers.parts import FilePart
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader

READER = RecordReader(lang="en", max_record_bytes=100)
Found = list[Record | Malformed | Unreadable]


def faults(records: Found) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in records if isinstance(item, Malformed)]


def texts(records: Found) -> list[tuple[int, str]]:
    return [(item.line, item.document.text) for item in records if isinstance(item, Record)]


def parquet(path: pathlib.Path, columns: dict[str, Any]) -> Found:
    pa.parquet.write_table(pa.table(columns), path)
    return list(READER.read(FilePart(str(path))))


def test_parquet(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000)  # noqa: DTZ001, Parquet has no time zone here
    found = parquet(
        path,
        {
            "id": [1, 2, 3],
            "text": ["one", None, "x" * 101],
            "timestamp": pa.array([moment, None, None], pa.timestamp("ns")),
            "other": [[1], [2], [3]],
        },
    )
    assert found == [
        Record(str(path), 1, Document("1", "one", "a", "en", -1), False),
        Malformed(str(path), 2, "no text", found[1].start),  # type: ignore[union-attr]
        Malformed(str(path), 3, "too long: more than 100 bytes", "x" * 80),
    ]


def test_parquet_strings_need_not_be_utf_8(tmp_path: pathlib.Path) -> None:
    bad = pa.array([b"good", b"\xffbad"]).cast(pa.binary()).view(pa.string())
    found = parquet(tmp_path / "a.parquet", {"text": bad})
    assert texts(found) == [(1, "good")]
    assert faults(found) == [(2, "not UTF-8: byte 0xff at 0")]


def test_parquet_dates_and_dictionaries(tmp_path: pathlib.Path) -> None:
    day = datetime.date(2001, 2, 27)
    (found,) = parquet(
        tmp_path / "a.parquet",
        {"text": ["one"], "timestamp": [day], "source": pa.array(["s"]).dictionary_encode()},
    )
    assert isinstance(found, Record)
    assert (found.document.timestamp, found.document.source) == (983232000, "s")


def test_a_damaged_parquet_file_is_unreadable(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not Parquet really PAR1")
    (item,) = READER.read(FilePart(str(path)))
    assert isinstance(item, Unreadable)
    assert (item.line, item.size, item.lost_bytes) == (1, 28, 28)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([1, 2], "text is not a string: int"),
        ([1.5, float("nan")], "text is not a string: float"),
        (pa.nulls(2), "no text"),
        ([["a"], ["b"]], "text is not a string: list"),
        ([{"a": 1}, {"a": 2}], "text is not a string: dict"),
        ([decimal.Decimal("1.5")] * 2, "bad value: of type decimal128(2, 1)"),
        (pa.array([True, False]), "text is not a string: bool"),
    ],
)
def test_a_text_of_another_type_is_malformed(
    tmp_path: pathlib.Path, column: Any, reason: str
) -> None:
    assert faults(parquet(tmp_path / "a.parquet", {"text": column})) == [(1, reason), (2, reason)]


def test_a_dictionary_of_bytes_that_are_not_utf_8(tmp_path: pathlib.Path) -> None:
    values = pa.array([b"good", b"caf\xe9"]).view(pa.string())
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), values, safe=False)
    found = parquet(tmp_path / "a.parquet", {"text": column})
    assert texts(found) == [(1, "good"), (3, "good")]
    assert faults(found) == [(2, "not UTF-8: byte 0xe9 at 3")]


KINDS = ("string", "large_string", "string_view")  # not every pyarrow has the last


@pytest.mark.parametrize("kind", [name for name in KINDS if hasattr(pa, name)])
def test_strings_of_every_layout_are_bytes(kind: str) -> None:
    assert column_values(pa.array(["one", None]).cast(getattr(pa, kind)())) == [b"one", None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 5_000_000], pa.int32()).cast(pa.date32()),
        pa.array([0, 2**62], pa.int64()).cast(pa.date64(), safe=False),
        pa.array([0, 2**62], pa.timestamp("ms")),
        pa.array([0.0, 1e300]),
    ],
)
def test_a_time_outside_the_calendar_affects_only_its_row(
    tmp_path: pathlib.Path, column: Any
) -> None:
    found = parquet(tmp_path / "a.parquet", {"text": ["one", "two"], "timestamp": column})
    assert texts(found) == [(1, "one")]
    assert [item.kind for item in found if isinstance(item, Malformed)] == ["bad timestamp"]


def test_another_text_column_and_a_missing_one(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    assert faults(parquet(path, {"body": ["one", "two"], "id": [1, 2]})) == [
        (1, "no text: no field 'text'; there are: body, id"),
        (2, "no text: no field 'text'; there are: body, id"),
    ]
    reader = RecordReader(lang="en", max_record_bytes=100, text_field="body")
    found = [*reader.read(FilePart(str(path)))]
    assert texts(found) == [(1, "one"), (2, "two")]
    assert [item.document.id for item in found if isinstance(item, Record)] == ["1", "2"]


def test_duplicate_column_names_are_malformed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    pa.parquet.write_table(table, path)
    assert faults([*READER.read(FilePart(str(path)))]) == [
        (1, "duplicate key: two columns are named 'text'")
    ]


def damaged(path: pathlib.Path) -> int:
    """Writes three row groups of 300 rows and overwrites the second; returns its size in bytes."""
    table = pa.table({"text": [f"Text {n:05d}." for n in range(900)]})
    pa.parquet.write_table(table, path, row_group_size=300, use_dictionary=False)
    column = pa.parquet.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    begin = column.data_page_offset
    data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    return int(column.total_compressed_size)


def test_a_damaged_row_group_loses_only_its_rows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    lost = damaged(path)
    found = [*READER.read(FilePart(str(path)))]
    assert [line for line, _ in texts(found)] == [*range(1, 301), *range(601, 901)]
    (item,) = (item for item in found if isinstance(item, Unreadable))
    assert item.reason.startswith("damaged row group: ")
    assert item[:2] + item[3:] == (str(path), 301, path.stat().st_size, lost, 300)
    assert str(item).endswith(f"; lost: 300 documents, {lost:,} of {path.stat().st_size:,} bytes")


def test_a_file_without_its_end_is_unreadable(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"text": ["one"]}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    (item,) = READER.read(FilePart(str(path)))
    assert isinstance(item, Unreadable)
    assert (item.line, item.size, item.lost_bytes, item.lost_records) == (
        1,
        len(whole) - 8,
        len(whole) - 8,
        None,
    )
