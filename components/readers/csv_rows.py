"""Reads CSV and TSV files with a header, as RFC 4180 defines them."""

from __future__ import annotations

import collections
import csv
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.readers.lines import Line, Lines
from components.readers.parts import is_blank
from components.readers.records import Fault, Row, decode, faulty_value, too_long_reason

_SECONDS = re.compile(r"(?!\d{4}$|\d{8}$)[-+]?\d{1,18}(\.\d+)?", re.ASCII)
"""A number of seconds. A number that looks like a year, or like a date such as 20240501, is not
accepted: such a timestamp is malformed."""


def csv_rows(lines: Lines, kind: str, max_bytes: int) -> Iterator[Row]:
    """Yields the rows after the header. A malformed line does not affect the lines after it.

    Args:
        lines: the lines of the file. A quoted field may contain line ends.
        kind: "csv" or "tsv".
        max_bytes: maximum size of a record.
    """
    csv.field_size_limit(max(max_bytes, 1 << 17))
    names: list[str] | None = None
    for line, cells, fault in _csv_cells(lines, kind, max_bytes):
        if fault:
            yield Row(line.number, line.start, faulty_value(fault))
        elif names is None:
            names = [cell.strip() for cell in cells]
        elif sorted(cell.strip() for cell in cells) == sorted(names):
            names = [cell.strip() for cell in cells]  # a repeated header of concatenated files
        else:
            yield Row(line.number, line.start, functools.partial(_fields, names, cells))


def _csv_cells(
    lines: Lines, kind: str, max_bytes: int
) -> Iterator[tuple[Line, list[str], str | None]]:
    """Yields the first line of each record, its cells, and why it is malformed, if it is."""
    record: list[Line] = []  # the lines of the record that is being parsed
    unread: collections.deque[Line] = collections.deque()  # lines to parse again after a fault
    source = iter(lines)
    dialect: Any = csv.excel_tab if kind == "tsv" else csv.excel

    def texts() -> Iterator[str]:
        size = 0
        while line := unread.popleft() if unread else next(source, None):
            if not record:
                size = 0
                if not line.fault and is_blank(line.data):
                    continue
            record.append(line)
            size += len(line.data)
            if line.fault or size > max_bytes:
                raise Fault(line.fault or too_long_reason(max_bytes))
            yield line.data.decode("utf-8", "surrogateescape") + "\n"

    while True:
        try:
            for cells in csv.reader(texts(), dialect, strict=True):
                yield record[0], cells, None
                record.clear()
            return
        except (csv.Error, Fault) as error:
            if lines.error and not unread:
                return  # the file's damage cuts off the record, and is reported by the caller
            yield record[0], [], str(error) if isinstance(error, Fault) else f"not CSV: {error}"
            unread.extendleft(reversed(record[1:]))
            record.clear()


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
