"""Reads the rows of Parquet files, including files with damaged row groups."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from components.readers.parts import FilePart
from components.readers.records import (
    Fault,
    Row,
    decode,
    excerpt,
    faulty_value,
    no_text_reason,
    too_long_reason,
)
from components.readers.streams import READ_ERRORS

_BATCH_ROWS = 64
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS = 86_400
_START_CHARACTERS = 80
_ROW_GROUP_ERRORS = (
    *READ_ERRORS,
    ValueError,
    OverflowError,
    MemoryError,
    KeyError,
    NotImplementedError,
)


def parquet_rows(
    part: FilePart, names: Sequence[str], max_bytes: int
) -> Iterator[Row | tuple[int, str, int, int]]:
    """Yields the rows of a part, and for each damaged row group what is lost.

    Args:
        part: a range of row groups.
        names: names of the columns to read. The first is the text's; the others may be missing.
        max_bytes: maximum size of a text; longer texts are malformed.

    Yields:
        Rows; and tuples (first lost row, reason, number of lost rows, lost bytes).

    Raises:
        Exception: one of `READ_ERRORS`, if the file's metadata cannot be read.
    """
    with pa.parquet.ParquetFile(part.file) as table:
        first = part.line
        present = [name for name in table.schema_arrow.names if name in names]
        fault = _columns_fault(table.schema_arrow.names, present, names[0])
        for number in list(range(table.num_row_groups))[part.begin : part.end]:
            group = table.metadata.row_group(number)
            row = first
            try:
                for fields in _rows(table, number, present) if not fault else ():
                    yield _row(row, fields, names[0], max_bytes)
                    row += 1
            except _ROW_GROUP_ERRORS as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
                lost = first + group.num_rows - row
                share = lost / group.num_rows if group.num_rows else 1.0
                yield row, f"damaged row group: {reason}", lost, round(share * _size(group))
            first += group.num_rows
            for line in range(row, first) if fault else ():
                yield Row(line, str, faulty_value(fault))


def _columns_fault(names: Sequence[str], present: Sequence[str], text_field: str) -> str:
    """Why every row of a table is malformed; "" if not every row is."""
    if text_field not in present:
        return no_text_reason(text_field, names)
    duplicate = next((name for name in present if present.count(name) > 1), None)
    return f"duplicate key: two columns are named {duplicate!r}" if duplicate else ""


def _size(group: Any) -> int:
    """Compressed size of a row group in the file, in bytes."""
    columns = range(group.num_columns)
    return sum(max(group.column(number).total_compressed_size, 0) for number in columns)


def _row(row: int, fields: dict[str, Any], text_field: str, max_bytes: int) -> Row:
    text = fields[text_field]

    def value() -> Mapping[str, Any]:
        if isinstance(text, bytes) and len(text) > max_bytes:
            raise Fault(too_long_reason(max_bytes))
        for cell in fields.values():
            if isinstance(cell, Fault):
                raise cell
        return {
            name: decode(cell) if isinstance(cell, bytes) else cell for name, cell in fields.items()
        }

    def start() -> str:
        return excerpt(text) if isinstance(text, bytes) else repr(fields)[:_START_CHARACTERS]

    return Row(row, start, value)


def _rows(table: Any, group: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a row group until reading fails."""
    for batch in table.iter_batches(_BATCH_ROWS, [group], names):
        columns = dict(zip(batch.schema.names, map(column_values, batch.columns), strict=True))
        for index in range(batch.num_rows):
            yield {name: values[index] for name, values in columns.items()}


def column_values(column: Any) -> list[Any]:
    """The values of a column.

    Strings are returned as bytes, because they may not be UTF-8; timestamps and dates as seconds
    since 1970. A `Fault` replaces a value that cannot be represented.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]
    if getattr(pa.types, "is_string_view", lambda _: False)(kind):
        return column.cast(pa.binary_view()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_timestamp(kind):
        return _divided(column.cast(pa.int64()), _TICKS[kind.unit], 1)
    if pa.types.is_date32(kind):  # not as Python dates, which end in the year 9999
        return _divided(column.cast(pa.int32()), 1, _DAY_SECONDS)
    if pa.types.is_date64(kind):
        return _divided(column.cast(pa.int64()), 1_000, 1)
    return [*map(_python_value, column)]


def _divided(column: Any, divisor: int, factor: int) -> list[int | None]:
    return [None if value is None else value // divisor * factor for value in column.to_pylist()]


def _python_value(scalar: Any) -> Any:
    """A value of any other type, if it is one that a record can have."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return Fault(f"bad value: Python cannot represent this value of type {scalar.type}")
    plain = bytes | str | int | float | list | dict | datetime.date | None
    return value if isinstance(value, plain) else Fault(f"bad value: of type {scalar.type}")
