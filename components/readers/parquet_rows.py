"""The rows of a Parquet file, whatever the types of its columns and the state of its pages."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from components.readers.parts import FilePart
from components.readers.records import Fault, Row, at_fault, beginning, decode, no_text, too_long
from components.readers.streams import DAMAGED

_BATCH_ROWS = 64
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS = 86_400
_START_CHARACTERS = 80
_WORST = (*DAMAGED, ValueError, OverflowError, MemoryError, KeyError, NotImplementedError)


def parquet_rows(
    part: FilePart, names: Sequence[str], max_bytes: int
) -> Iterator[Row | tuple[int, str, int, int]]:
    """Yields the rows of a part; of a row group that cannot be read, what is lost with it.

    Args:
        part: of row groups.
        names: of the columns to read; the first one is the text's, the others may be missing.
        max_bytes: of a text; a longer one is at fault.

    Yields:
        Rows, and (first lost row, reason, lost rows, lost bytes).

    Raises:
        Exception: one of `DAMAGED`; the file's metadata cannot be read.
    """
    with pa.parquet.ParquetFile(part.file) as table:
        first = part.line
        held = [name for name in table.schema_arrow.names if name in names]
        fault = _fault_of_columns(table.schema_arrow.names, held, names[0])
        for number in list(range(table.num_row_groups))[part.begin : part.end]:
            group = table.metadata.row_group(number)
            row = first
            try:
                for fields in _rows(table, number, held) if not fault else ():
                    yield _row(row, fields, names[0], max_bytes)
                    row += 1
            except _WORST as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
                lost = first + group.num_rows - row
                share = lost / group.num_rows if group.num_rows else 1.0
                yield row, f"damaged row group: {reason}", lost, round(share * _size(group))
            first += group.num_rows
            for number_of_row in range(row, first) if fault else ():
                yield Row(number_of_row, str, at_fault(fault))


def _fault_of_columns(names: Sequence[str], held: Sequence[str], text_field: str) -> str:
    """What is wrong with each row of a table; empty for nothing."""
    if text_field not in held:
        return no_text(text_field, names)
    twice = next((name for name in held if held.count(name) > 1), None)
    return f"duplicate key: two columns are named {twice!r}" if twice else ""


def _size(group: Any) -> int:
    """Bytes of a row group in the file."""
    columns = range(group.num_columns)
    return sum(max(group.column(number).total_compressed_size, 0) for number in columns)


def _row(row: int, fields: dict[str, Any], text_field: str, max_bytes: int) -> Row:
    text = fields[text_field]

    def value() -> Mapping[str, Any]:
        if isinstance(text, bytes) and len(text) > max_bytes:
            raise Fault(too_long(max_bytes))
        for cell in fields.values():
            if isinstance(cell, Fault):
                raise cell
        return {k: decode(v) if isinstance(v, bytes) else v for k, v in fields.items()}

    def start() -> str:
        return beginning(text) if isinstance(text, bytes) else repr(fields)[:_START_CHARACTERS]

    return Row(row, start, value)


def _rows(table: Any, group: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a group, as far as they can be read."""
    for batch in table.iter_batches(_BATCH_ROWS, [group], names):
        columns = dict(zip(batch.schema.names, map(cells, batch.columns), strict=True))
        for index in range(batch.num_rows):
            yield {name: values[index] for name, values in columns.items()}


def cells(column: Any) -> list[Any]:
    """A column's values: strings as bytes, as a file's need not be UTF-8, and times as seconds."""
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
    if pa.types.is_date32(kind):  # not by Python's dates, which end with the year 9999
        return _divided(column.cast(pa.int32()), 1, _DAY_SECONDS)
    if pa.types.is_date64(kind):
        return _divided(column.cast(pa.int64()), 1_000, 1)
    return [*map(_cell, column)]


def _divided(column: Any, by: int, times: int) -> list[int | None]:
    return [None if value is None else value // by * times for value in column.to_pylist()]


def _cell(scalar: Any) -> Any:
    """A value of any type."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return Fault(f"bad value: one of the type {scalar.type} that Python does not have")
    plain = bytes | str | int | float | list | dict | datetime.date | None
    return value if isinstance(value, plain) else Fault(f"bad value: one of the type {scalar.type}")
