"""Hypothesis strategies for input files of every format, intact or damaged; also a fuzzer.

    python -m tests.components.any_input --minutes 10

feeds damaged files to every reader for ten minutes. It fails, and prints the smallest file that
fails, if a reader raises an exception, takes too long or uses too much memory.
"""

from __future__ import annotations

import argparse
import collections
import csv
import gzip
import io
import json
import pathlib
import resource
import tempfile
import time
import unicodedata
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.readers.parts import split_file
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader

MAX_SECONDS = 20.0  # per file
MAX_MEGABYTES = 400  # growth of the process
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
COMPRESS: dict[str, Any] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}

_ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\ufffe")
_PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\ufffe\r\n\0")
_texts = st.text(_ANY, min_size=1).filter(str.strip)
_lines = st.text(_PLAIN, min_size=1).filter(str.strip)
_paragraphs = st.lists(_lines, min_size=1, max_size=3).map("\n".join)


class Written(collections.namedtuple("Written", "suffix encoding content texts")):
    """A file: its suffix, its encoding as a setting, its bytes, and the texts in it."""


@st.composite
def files(draw: Any) -> Written:
    """A file with a few documents."""
    kind = draw(st.sampled_from(["jsonl", "ndjson", "txt", "csv", "tsv", "parquet"]))
    texts = draw(
        st.lists(_texts if kind.endswith(("json", "jsonl", "parquet")) else _paragraphs, max_size=5)
    )
    if kind == "parquet":
        return Written(".parquet", "utf-8", _parquet(draw, texts), texts)
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    if kind == "txt":
        blank = draw(st.sampled_from(["", " ", "\t", "\u3000", "\u00a0"]))
        content = f"\n{blank}\n".join(texts) + "\n" * bool(texts)
    elif kind in ("csv", "tsv"):
        stream = io.StringIO(newline="")
        dialect: Any = csv.excel_tab if kind == "tsv" else csv.excel
        writer = csv.writer(stream, dialect, lineterminator="\n")
        writer.writerows([["id", "text"], *([n, text] for n, text in enumerate(texts))])
        content = stream.getvalue()
    else:
        ascii_only = draw(st.booleans())
        lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts]
        content = "\n".join(lines) + "\n" * draw(st.booleans())
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"]))
    data = content.replace("\n", end).encode(encoding)
    if encoding in ("utf-16-le", "gb18030") and data.startswith(MARKS):
        encoding, data = "utf-8", content.encode()  # bytes that happen to be a mark count as one
    compression = draw(st.sampled_from([*COMPRESS]))
    setting = encoding if encoding in ("utf-16-le", "gb18030") else "utf-8"
    return Written(f".{kind}{compression}", setting, COMPRESS[compression](data), texts)


def _parquet(draw: Any, texts: list[str]) -> bytes:
    stream = io.BytesIO()
    column = pa.array(texts, pa.string())
    if draw(st.booleans()):
        column = column.dictionary_encode()
    pa.parquet.write_table(
        pa.table({"text": column, "timestamp": pa.array([*range(len(texts))], pa.timestamp("ms"))}),
        stream,
        row_group_size=draw(st.integers(1, 3)),
        compression=draw(st.sampled_from(["none", "snappy", "zstd", "gzip"])),
        use_dictionary=draw(st.booleans()),
    )
    return stream.getvalue()


@st.composite
def damaged(draw: Any) -> Written:
    """A file with bytes changed, removed, added or repeated, or with a wrong suffix."""
    file = draw(files())
    data = bytearray(file.content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 40)))
        data[at:until] = draw(
            st.one_of(st.just(b""), st.binary(max_size=8), st.just(bytes(data[:until])))
        )
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    suffix = file.suffix
    if draw(st.integers(0, 9)) == 0:
        suffix = draw(
            st.sampled_from([".jsonl", ".txt", ".csv", ".tsv.gz", ".txt.zst", ".parquet"])
        )
    return Written(suffix, file.encoding, bytes(data), None)


def read(file: Written, folder: pathlib.Path, size: int, **options: Any) -> list[Any]:
    """The records of all parts of a file."""
    path = folder / f"a{file.suffix}"
    path.write_bytes(file.content)
    reader = RecordReader(
        **{"lang": "en", "max_record_bytes": 100_000, "encoding": file.encoding, **options}
    )
    whole = options.get("document_per_file", False)
    parts = split_file(str(path), size, encoding=file.encoding, document_per_file=whole)
    return [item for part in parts for item in reader.read(part)]


def normal(texts: list[str]) -> list[str]:
    """The texts in the form that documents have."""
    return [unicodedata.normalize("NFC", text) for text in texts]


def check(file: Written, folder: pathlib.Path, size: int, **options: Any) -> None:
    """Reads a damaged file; checks that every result is a record or a report with a place."""
    began = time.monotonic()
    for item in read(file, folder, size, **options):
        assert isinstance(item, Record | Malformed | Unreadable)
        assert item.line >= 1
        (item.document.text if isinstance(item, Record) else str(item)).encode()
    assert time.monotonic() - began < MAX_SECONDS


def main() -> None:
    """Reads damaged files for the given number of minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    end = time.monotonic() + 60 * parser.parse_args().minutes
    count = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=1_000,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.target, Phase.shrink],
        )
        @given(damaged(), st.sampled_from([1, 7, 1 << 20]), st.booleans(), st.booleans())
        def run(file: Written, size: int, whole: bool, join: bool) -> None:
            nonlocal count
            count += 1
            check(file, pathlib.Path(folder), size, document_per_file=whole, join_lines=join)

        while time.monotonic() < end:
            run()
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert growth < MAX_MEGABYTES, f"memory grew by {growth:.0f} MB"
    print(f"{count:,} files read without an error; memory grew by {growth:.0f} MB")


if __name__ == "__main__":
    main()
