"""Parts of files that can be read apart, so that one large file is work for many workers.

A part begins where a record does, and knows the number of its first line, so that what is said of a
bad record names the line of the file, whoever reads it.
"""

import os
from collections.abc import Iterator
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from components.readers.formats import format_of
from components.readers.streams import MARK, is_plain

_PART_BYTES = 16_000_000  # small, as Beam deals parts to workers once and for all
_BLOCK = 1 << 20


class FilePart(NamedTuple):
    """A run of a file's records.

    Attributes:
        begin, end: of Parquet row groups, else bytes; `end` is not in it, and None is the file's.
        line: number of the first line, or row, counted from 1.
    """

    file: str
    begin: int = 0
    end: int | None = None
    line: int = 1

    @property
    def whole(self) -> bool:
        """Whether it is the whole file."""
        return self.begin == 0 and self.end is None


def parts(
    file: str, size: int = _PART_BYTES, *, encoding: str = "utf-8", document_per_file: bool = False
) -> Iterator[FilePart]:
    """Yields the parts of a file, in order, about alike: `size` bytes at most, and a record's end.

    What is compressed, or not in UTF-8, is one part, as it cannot be read from the middle. So are
    CSV, whose records may have line ends inside, and what cannot be read: its reader says what is
    wrong.

    Args:
        file: its path.
        size: of a part, in bytes.
        encoding, document_per_file: `RecordReader`'s.
    """
    form = format_of(file)
    kind = form.kind if form else ""
    lines = kind in ("jsonl", "ndjson") or (kind == "txt" and not document_per_file)
    if kind == "parquet":
        yield from _row_groups(file, size)
    elif not lines or _size(file) <= size or not is_plain(file, encoding):
        yield FilePart(file)
    else:
        with open(file, "rb") as stream:
            found = [*_lines(stream, file, size, blank=kind == "txt")]
        # Of a file without a record its reader says so, if it sees all of it.
        yield from found if any(map(_has_more_than_space, found)) else [FilePart(file)]


def is_blank(line: bytes) -> bool:
    """Whether a line has white space only, in any script: U+3000, say, or a no-break space."""
    if line[:1].isalnum() or line[:1] in (b"{", b'"'):  # nearly all lines that are not
        return False
    return not line.strip() or not line.removeprefix(MARK).decode(errors="replace").strip()


def _size(file: str) -> int:
    try:
        return os.path.getsize(file)
    except OSError:
        return 0  # its reader says what is wrong


def _lines(stream: IO[bytes], file: str, size: int, *, blank: bool) -> Iterator[FilePart]:
    """Parts that end after a line, or after a blank one."""
    begin, line, total = 0, 1, os.path.getsize(file)
    size = -(-total // -(-total // size))
    while begin < total:
        lines = 0
        left = size
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            lines += block.count(b"\n")
            left -= len(block)
        # The line that stands here goes to its end; then, where blocks are parted by blank lines,
        # all up to the next blank one.
        while rest := stream.readline(_BLOCK):
            ended = rest.endswith(b"\n")
            lines += ended
            if ended:
                break
        while blank and (rest := _whole_line(stream)):
            lines += 1
            if is_blank(rest):
                break
        end = stream.tell()
        yield FilePart(file, begin, end if end < total else None, line)
        begin, line = end, line + lines


def _has_more_than_space(part: FilePart) -> bool:
    with open(part.file, "rb") as stream:
        stream.seek(part.begin)
        left = part.end - part.begin if part.end is not None else -1
        while left and (block := stream.read(_BLOCK if left < 0 else min(_BLOCK, left))):
            if not is_blank(block):
                return True
            left -= len(block) if left > 0 else 0
    return False


def _whole_line(stream: IO[bytes]) -> bytes:
    """The next line, of a long one its first block with anything that is no white space."""
    kept = rest = stream.readline(_BLOCK)
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(_BLOCK)
        if is_blank(kept):
            kept = rest or kept
    return kept


def _row_groups(file: str, size: int) -> Iterator[FilePart]:
    try:
        with pa.parquet.ParquetFile(file) as table:
            groups = [table.metadata.row_group(n) for n in range(table.num_row_groups)]
            sizes = [(group.total_byte_size, group.num_rows) for group in groups]
    except (pa.ArrowException, OSError, ValueError):
        yield FilePart(file)
        return
    begin, line, held, rows = 0, 1, 0, 0
    for end, (group_bytes, group_rows) in enumerate(sizes, start=1):
        held, rows = held + group_bytes, rows + group_rows
        if held >= size or end == len(sizes):
            yield FilePart(file, begin, end if end < len(sizes) else None, line)
            begin, line, held, rows = end, line + rows, 0, 0
    if not sizes:
        yield FilePart(file)
