"""Tests of file formats, recognized by names and by first and last bytes."""

from __future__ import annotations

import pathlib

import pytest

from components.readers.formats import (
    Format,
    check_formats,
    format_mismatch,
    format_of,
    is_allowed,
)
from models.errors import DataRefused


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", Format("jsonl", "")),
        ("a.JSONL.GZ", Format("jsonl", ".gz")),
        ("a.b.txt", Format("txt", "")),
        ("a.txt.zst", Format("txt", ".zst")),
        ("a.csv.gz", Format("csv", ".gz")),
        ("a.tsv", Format("tsv", "")),
        ("folder.d/a.ndjson", Format("ndjson", "")),
        ("a.parquet", Format("parquet", "")),
        ("a.parquet.gz", None),
        ("a.json", None),
        ("a.gz", None),
        ("folder.txt/text", None),
    ],
)
def test_formats(name: str, expected: Format | None) -> None:
    assert format_of(name) == expected


def test_refuses_files_whose_content_contradicts_their_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl.gz").write_text('{"text": "plain"}')
    (tmp_path / "b.parquet").write_bytes(b"PAR1 cut")
    (tmp_path / "c.txt.zst").write_text("plain")
    (tmp_path / "d.csv").write_bytes(b"PK\x03\x04 a workbook")
    files = sorted(map(str, tmp_path.iterdir()))
    with pytest.raises(DataRefused) as caught:
        check_formats(files, allowed=["c.txt.zst"])
    assert str(caught.value) == (
        "3 input files do not have the format that their names say.\n"
        f"  {files[0]}: named .gz, but is not gzip\n"
        f"  {files[1]}: named .parquet, but its first or last bytes are not Parquet's\n"
        f"  {files[3]}: named .csv, but is a ZIP file\n"
        f"  where: {tmp_path}\n"
        "  to do: Write them again or rename them. To use the part that can be read:"
        " --set ingestion.allow_unreadable=a.jsonl.gz,b.parquet,d.csv"
    )
    assert format_mismatch(files[2]) == "named .zst, but is not Zstandard"
    check_formats(files, allowed=files)
    assert is_allowed(files[0], ("a.jsonl.gz",))
    (tmp_path / "a.txt.gz").touch()
    (tmp_path / "b.txt").write_text("plain")
    check_formats([str(tmp_path / "a.txt.gz"), str(tmp_path / "b.txt")], allowed=())
