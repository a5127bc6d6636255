"""Splits large files into parts, so that several workers can read one file.

A part begins at the beginning of a record. It has the number of its first line, so that messages
about malformed records name the line of the file.
"""

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from components.readers.formats import format_of
from components.readers.streams import BYTE_ORDER_MARK, is_splittable

_PART_BYTES = 16_000_000  # small, because Beam assigns parts to workers only once
_BLOCK = 1 << 20


class FilePart(NamedTuple):
    """A range of a file's records.

    Attributes:
        file: the file's path.
        begin, end: a range of row groups of a Parquet file, of bytes of another file. `end` is not
            in the range; None is the end of the file.
        line: number of the first line, or row of a Parquet file, counted from 1.
    """

    file: str
    begin: int = 0
    end: int | None = None
    line: int = 1

    @property
    def whole(self) -> bool:
        """Whether the part is the whole file."""
        return self.begin == 0 and self.end is None


def split_file(
    file: str, size: int = _PART_BYTES, *, encoding: str = "utf-8", document_per_file: bool = False
) -> Iterator[FilePart]:
    """Yields the parts of a file, in order: of similar size, about `size` bytes at most.

    A file that cannot be read from the middle is one part: one that is compressed, not in UTF-8, or
    CSV, whose records may contain line ends. So is a file that cannot be read; its reader reports
    why.

    Args:
        file: the file's path.
        size: maximum size of a part in bytes, to which the rest of its last record is added.
        encoding, document_per_file: see `RecordReader`.
    """
    form = format_of(file)
    kind = form.kind if form else ""
    lines = kind in ("jsonl", "ndjson") or (kind == "txt" and not document_per_file)
    if kind == "parquet":
        yield from _row_groups(file, size)
    elif not lines or _size(file) <= size or not is_splittable(file, encoding):
        yield FilePart(file)
    else:
        with open(file, "rb") as stream:
            parts = [*_line_ranges(stream, file, size, at_blank_line=kind == "txt")]
        # A file without a record is one part, so that its reader can report that it has none.
        yield from parts if any(map(_has_text, parts)) else [FilePart(file)]


def is_blank(line: bytes) -> bool:
    """Whether a line has only white space, including Unicode's, such as U+3000."""
    if line[:1].isalnum() or line[:1] in (b"{", b'"'):  # fast path for most lines
        return False
    return (
        not line.strip() or not line.removeprefix(BYTE_ORDER_MARK).decode(errors="replace").strip()
    )


def _size(file: str) -> int:
    try:
        return os.path.getsize(file)
    except OSError:
        return 0  # its reader reports the error


def _line_ranges(
    stream: IO[bytes], file: str, size: int, *, at_blank_line: bool
) -> Iterator[FilePart]:
    """Parts that end at the end of a line, or of a blank line."""
    begin, line, total = 0, 1, os.path.getsize(file)
    size = -(-total // -(-total // size))
    while begin < total:
        lines = 0
        left = size
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            lines += block.count(b"\n")
            left -= len(block)
        # The part extends to the end of the line it has reached, and if blank lines separate
        # records, to the end of the next blank line.
        while rest := stream.readline(_BLOCK):
            ended = rest.endswith(b"\n")
            lines += ended
            if ended:
                break
        while at_blank_line and (rest := _whole_line(stream)):
            lines += 1
            if is_blank(rest):
                break
        end = stream.tell()
        yield FilePart(file, begin, end if end < total else None, line)
        begin, line = end, line + lines


def _has_text(part: FilePart) -> bool:
    """Whether a part has anything but white space."""
    with open(part.file, "rb") as stream:
        stream.seek(part.begin)
        left = part.end - part.begin if part.end is not None else -1
        while left and (block := stream.read(_BLOCK if left < 0 else min(_BLOCK, left))):
            if not is_blank(block):
                return True
            left -= len(block) if left > 0 else 0
    return False


def _whole_line(stream: IO[bytes]) -> bytes:
    """Reads the next line. Of a long line, returns the first block that is not blank."""
    block = rest = stream.readline(_BLOCK)
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(_BLOCK)
        if is_blank(block):
            block = rest or block
    return block


def _row_groups(file: str, size: int) -> Iterator[FilePart]:
    try:
        with pa.parquet.ParquetFile(file) as table:
            groups = [table.metadata.row_group(n) for n in range(table.num_row_groups)]
            sizes = [(group.total_byte_size, group.num_rows) for group in groups]
    except (pa.ArrowException, OSError, ValueError):
        yield FilePart(file)
        return
    begin, line, size_so_far, rows = 0, 1, 0, 0
    for end, (group_bytes, group_rows) in enumerate(sizes, start=1):
        size_so_far, rows = size_so_far + group_bytes, rows + group_rows
        if size_so_far >= size or end == len(sizes):
            yield FilePart(file, begin, end if end < len(sizes) else None, line)
            begin, line, size_so_far, rows = end, line + rows, 0, 0
    if not sizes:
        yield FilePart(file)
