"""File formats of the input, recognized by a file's name and its first and last bytes.

Imports neither TensorFlow nor Beam, so that the command line can check an input immediately.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, NoReturn

from models.errors import DataRefused

KINDS = ("jsonl", "ndjson", "txt", "csv", "tsv", "parquet")
"""Kinds of files that TextExampleGen reads: their suffixes without the dot."""
FORMATS = (
    ".jsonl, .txt (blank lines separate documents), .csv or .tsv, each alone or with .gz or .zst "
    "after it, or .parquet"
)
"""The supported formats in words, for messages."""

_COMPRESSIONS: Mapping[str, tuple[str, tuple[bytes, ...]]] = {
    ".gz": ("gzip", (b"\x1f\x8b",)),
    ".zst": ("Zstandard", (b"\x28\xb5\x2f\xfd", *(bytes([n, 42, 77, 24]) for n in range(80, 96)))),
}
"""By suffix, the name of each compression and the bytes that its files can begin with. A Zstandard
file may begin with a skippable frame of metadata."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # a spreadsheet's workbook is a ZIP file
_LISTED = 5  # files in a message
_LISTED_NAMES = 2_000  # characters of file names in a message


class Format(NamedTuple):
    """The format that a file's name implies.

    Attributes:
        kind: one of `KINDS`.
        compression: ".gz", ".zst" or "".
    """

    kind: str
    compression: str


def format_of(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file's name implies; None if it is not supported."""
    name = os.path.basename(os.fspath(path)).lower()
    compression = next((suffix for suffix in _COMPRESSIONS if name.endswith(suffix)), "")
    _, dot, kind = name.removesuffix(compression).rpartition(".")
    if not dot or kind not in KINDS or (kind == "parquet" and compression):
        return None
    return Format(kind, compression)


def printable_path(path: str) -> str:
    """A path as text: bytes that are not UTF-8 are escaped, as in `caf\\xe9.txt`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def check_formats(files: Sequence[str], allowed: Collection[str]) -> None:
    """Checks that files have the formats that their names imply, before any step starts.

    Args:
        files: paths.
        allowed: `ingestion.allow_unreadable`.

    Raises:
        DataRefused: files that are not allowed have other first or last bytes than their format.
    """
    mismatches = []
    for file in files:
        if not is_allowed(printable_path(file), allowed) and (mismatch := format_mismatch(file)):
            mismatches.append((printable_path(file), mismatch))
    if not mismatches:
        return
    listed = "".join(f"\n  {file}: {mismatch}" for file, mismatch in mismatches[:_LISTED])
    more = f"\n  and {len(mismatches) - _LISTED:,} more" if len(mismatches) > _LISTED else ""
    names = ",".join(os.path.basename(file) for file, _ in mismatches)
    raise DataRefused(
        f"{len(mismatches):,} input files do not have the format that their names say."
        f"{listed}{more}",
        where=os.path.commonpath([os.path.dirname(file) for file, _ in mismatches]),
        remedy="Write them again or rename them. To use the part that can be read:"
        f" --set ingestion.allow_unreadable={names[:_LISTED_NAMES]}",
    )


def format_mismatch(file: str) -> str:
    """How a file's first or last bytes contradict its name; "" if they do not."""
    form = format_of(file)
    start, end = first_and_last_bytes(file)
    if form is None or not start:
        return ""
    if form.compression:
        name, magic = _COMPRESSIONS[form.compression]
        return "" if start.startswith(magic) else f"named {form.compression}, but is not {name}"
    if form.kind == "parquet":
        whole = start == end == b"PAR1"
        return "" if whole else "named .parquet, but its first or last bytes are not Parquet's"
    for name, magic in (*_COMPRESSIONS.values(), ("Parquet", (b"PAR1",)), ("a ZIP file", _ZIP)):
        if start.startswith(magic):
            return f"named .{form.kind}, but is {name}"
    return ""


def is_allowed(file: str, allowed: Collection[str]) -> bool:
    """Whether `ingestion.allow_unreadable` contains a file, by its path or its name."""
    return file in allowed or os.path.basename(file) in allowed


def first_and_last_bytes(file: str) -> tuple[bytes, bytes]:
    """The first and the last four bytes of a file, fewer if the file is smaller.

    Raises:
        DataRefused: the file cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            start = stream.read(4)
            stream.seek(0, os.SEEK_END)
            if stream.tell() >= 4:
                stream.seek(-4, os.SEEK_END)
            return start, stream.read(4)
    except OSError as error:
        refuse_file(file, error)


def refuse_file(file: str, error: OSError) -> NoReturn:
    """Raises DataRefused for an input file that cannot be read."""
    raise DataRefused(
        f"The input file cannot be read: {error.strerror}.",
        where=printable_path(file),
        remedy="Check its permissions and the disk it is on.",
    ) from error
