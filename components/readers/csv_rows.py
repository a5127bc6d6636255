"""CSV and TSV with a header, after RFC 4180: a quoted field may have line ends inside."""

from __future__ import annotations

import collections
import csv
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.readers.lines import Line, Lines
from components.readers.parts import is_blank
from components.readers.records import Fault, Row, at_fault, decode, too_long

_SECONDS = re.compile(r"(?!\d{4}$|\d{8}$)[-+]?\d{1,18}(\.\d+)?", re.ASCII)
"""A number, but none that looks like a year or like a date as 20240501: that is malformed."""


def csv_rows(lines: Lines, kind: str, max_bytes: int) -> Iterator[Row]:
    """Yields the rows after the header. A line at fault costs itself: the next one is read anew.

    Args:
        lines: the file's.
        kind: "csv" or "tsv".
        max_bytes: of a record.
    """
    csv.field_size_limit(max(max_bytes, 1 << 17))
    names: list[str] | None = None
    for line, cells, fault in _csv_cells(lines, kind, max_bytes):
        if fault:
            yield Row(line.number, line.start, at_fault(fault))
        elif names is None:
            names = [cell.strip() for cell in cells]
        elif sorted(cell.strip() for cell in cells) == sorted(names):
            names = [cell.strip() for cell in cells]  # a header again, as where files were joined
        else:
            yield Row(line.number, line.start, functools.partial(_fields, names, cells))


def _csv_cells(
    lines: Lines, kind: str, max_bytes: int
) -> Iterator[tuple[Line, list[str], str | None]]:
    """Yields the first line of each record, its cells, and what is wrong with it."""
    held: list[Line] = []
    waiting: collections.deque[Line] = collections.deque()
    source = iter(lines)
    dialect: Any = csv.excel_tab if kind == "tsv" else csv.excel

    def texts() -> Iterator[str]:
        size = 0
        while line := waiting.popleft() if waiting else next(source, None):
            if not held:
                size = 0
                if not line.fault and is_blank(line.data):
                    continue
            held.append(line)
            size += len(line.data)
            if line.fault or size > max_bytes:
                raise Fault(line.fault or too_long(max_bytes))
            yield line.data.decode("utf-8", "surrogateescape") + "\n"

    while True:
        try:
            for cells in csv.reader(texts(), dialect, strict=True):
                yield held[0], cells, None
                held.clear()
            return
        except (csv.Error, Fault) as error:
            if lines.error and not waiting:
                return  # the record is cut off by the damage, which is reported
            yield held[0], [], str(error) if isinstance(error, Fault) else f"not CSV: {error}"
            waiting.extendleft(reversed(held[1:]))
            held.clear()


def _fields(names: list[str], cells: list[str]) -> Mapping[str, Any]:
    if len(cells) != len(names):
        raise Fault(f"not CSV: {len(cells)} fields where the header has {len(names)}")
    fields: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        if name in fields:
            raise Fault(f"duplicate key: {name!r:.60}")
        text = decode(cell.encode("utf-8", "surrogateescape"))
        fields[name] = float(text) if name == "timestamp" and _SECONDS.fullmatch(text) else text
    return fields
