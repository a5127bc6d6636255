"""Reads files of text into documents, streaming, and says of every bad record what was wrong.

A record is never guessed at: what cannot be understood is malformed, with file, line and reason.
A record without an id gets one from its text, so that the same text has the same id, and the same
split, wherever it stands.
"""

import dataclasses
import datetime
import functools
import gzip
import io
import json
import math
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from components.documents import Document, text_hash
from components.file_parts import FilePart
from components.input_files import source_of, suffix_of

_FIELDS = ("id", "text", "source", "lang", "timestamp")
_SKIP_BYTES = 1 << 20
_START_CHARACTERS = 80
_PARQUET_ROWS = 64
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ISO = re.compile(  # what Python 3.10 and 3.13 both read, fractions of a second apart
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([T ](?P<time>\d\d:\d\d(:\d\d)?)(\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d)?)?"
)
_EMPTY_TEXT, _EMPTY_FILE = "text is empty", "no record in the file"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Record(NamedTuple):
    """A document and where it stood; `derived` says that its id was made from its text."""

    file: str
    line: int
    document: Document
    derived: bool


class Malformed(NamedTuple):
    """A record that is no document. `reason` is "kind" or "kind: detail"."""

    file: str
    line: int
    reason: str
    start: str

    @property
    def kind(self) -> str:
        """What reasons are counted by."""
        return self.reason.partition(": ")[0]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to read: no fault, as an encyclopedia's redirects are none."""
        return self.reason in (_EMPTY_TEXT, _EMPTY_FILE)


@dataclasses.dataclass(frozen=True)
class RecordReader:
    """Reads one file at a time, holding one record of it.

    Args:
        lang: the language of documents that do not say theirs.
        max_record_bytes: longer records are malformed, and are skipped without being held.
    """

    lang: str
    max_record_bytes: int

    def read(self, part: FilePart) -> Iterator[Record | Malformed]:
        """Yields the records of a part of a file in order.

        Lines count from 1; in Parquet, rows do. A document of a .txt file has its first line's
        number. A document without a source has the one that `input_files.source_of` gives.
        """
        file, suffix, source = part.file, suffix_of(part.file), source_of(part.file)
        read = {".parquet": self._parquet, ".txt": self._text}.get(suffix or "", self._json)
        rows = read(part) if os.path.getsize(file) else iter(())
        empty = True
        for line, start, value in rows:
            empty = False
            try:
                document, derived = self._document(value(), source)
            except _Fault as fault:
                yield Malformed(file, line, str(fault), start())
            else:
                yield Record(file, line, document, derived)
        if empty and part.whole:
            yield Malformed(file, 1, _EMPTY_FILE, "")

    def _document(self, fields: Mapping[str, Any], source: str) -> tuple[Document, bool]:
        text = fields.get("text")
        if text is None:
            raise _Fault("no text")
        if not isinstance(text, str):
            raise _Fault(f"text is not a string: {type(text).__name__}")
        text = unicodedata.normalize("NFC", _clean(text, "text"))
        if not text.strip():
            raise _Fault(_EMPTY_TEXT)
        identity = fields.get("id")
        if isinstance(identity, int) and not isinstance(identity, bool):
            identity = str(identity)
        if identity is not None and not isinstance(identity, str):
            raise _Fault(f"id is neither string nor integer: {type(identity).__name__}")
        derived = not identity
        document = Document(
            id=f"text-{text_hash(text)}" if not identity else _clean(identity, "id"),
            text=text,
            source=_label(fields, "source") or source,
            lang=_label(fields, "lang") or self.lang,
            timestamp=seconds(fields.get("timestamp")),
        )
        return document, derived

    def _json(self, part: FilePart) -> Iterator["_Row"]:
        with _open(part) as stream:
            for line in self._lines(stream, part):
                if line.fault or line.data.strip():
                    yield _Row(line.number, line.start, functools.partial(_json, line))

    def _text(self, part: FilePart) -> Iterator["_Row"]:
        with _open(part) as stream:
            block: _Block | None = None
            for line in self._lines(stream, part):
                if line.data.strip() or line.fault:
                    block = block or _Block(line.number)
                    block.add(line, self.max_record_bytes)
                elif block:
                    yield block.row()
                    block = None
            if block:
                yield block.row()

    def _lines(self, stream: io.BufferedIOBase, part: FilePart) -> Iterator["_Line"]:
        """Yields lines without their ends; of one that is too long, its beginning and a fault."""
        number = part.line - 1
        while part.end is None or stream.tell() < part.end:
            number += 1
            data = b""
            try:
                data = stream.readline(self.max_record_bytes + 2)
                if not data:
                    return
                rest = data
                while rest and not rest.endswith(b"\n"):
                    rest = stream.readline(_SKIP_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                yield _Line(number, data[:1024], f"damaged file: lost from here on, {error}")
                return
            if number == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")  # a byte order mark is not text
            line = data.rstrip(b"\r\n")
            if len(line) > self.max_record_bytes:
                yield _Line(number, line[:1024], _too_long(self.max_record_bytes))
            else:
                yield _Line(number, line, None)

    def _parquet(self, part: FilePart) -> Iterator["_Row"]:
        row = part.line
        try:
            with pa.parquet.ParquetFile(part.file) as table:
                columns = [name for name in table.schema_arrow.names if name in _FIELDS]
                groups = list(range(table.num_row_groups))[part.begin : part.end]
                for batch in table.iter_batches(_PARQUET_ROWS, groups, columns):
                    for fields in _rows(batch):
                        yield self._parquet_row(row, fields)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            fault = _Fault(f"damaged file: lost from here on, {str(error).splitlines()[0]}")
            yield _Row(row, str, _raise(fault))

    def _parquet_row(self, row: int, fields: dict[str, Any]) -> "_Row":
        def value() -> dict[str, Any]:
            if len(fields.get("text") or b"") > self.max_record_bytes:
                raise _Fault(_too_long(self.max_record_bytes))
            return {k: _decode(v) if isinstance(v, bytes) else v for k, v in fields.items()}

        def start() -> str:
            text = fields.get("text")
            return _beginning(text) if isinstance(text, bytes) else str(fields)[:_START_CHARACTERS]

        return _Row(row, start, value)


class _Fault(Exception):
    """Why a record is malformed."""


class _Row(NamedTuple):
    """A record before it is understood: `value` gives its fields or raises `_Fault`."""

    line: int
    start: Callable[[], str]
    value: Callable[[], Mapping[str, Any]]


class _Line(NamedTuple):
    number: int
    data: bytes
    fault: str | None

    def text(self) -> str:
        if self.fault:
            raise _Fault(self.fault)
        return _decode(self.data)

    def start(self) -> str:
        return _beginning(self.data)


class _Block:
    """A document of a .txt file: its lines up to a blank one, in one piece of memory."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._data = bytearray()
        self._fault: str | None = None

    def add(self, line: _Line, max_bytes: int) -> None:
        if len(self._data) + len(line.data) > max_bytes:
            self._fault = self._fault or _too_long(max_bytes)
        self._fault = self._fault or line.fault
        if not self._fault or not self._data:
            self._data += (b"\n" if self._data else b"") + line.data

    def row(self) -> _Row:
        line = _Line(self._number, bytes(self._data), self._fault)
        return _Row(line.number, line.start, lambda: {"text": line.text()})


def seconds(value: Any) -> int:
    """Returns seconds since 1970 UTC of a number of seconds, an ISO date or a date; None is 0.

    A date is its first second, and a time without a zone is UTC; years before 1970 are negative.
    """
    if value is None or value == "":
        return 0
    moment: Any = value
    if isinstance(value, str):
        moment = _iso(value.strip())
    elif isinstance(value, datetime.date):
        moment = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.timezone.utc)
    if isinstance(moment, datetime.datetime):
        return (moment - _EPOCH) // datetime.timedelta(seconds=1)
    if isinstance(moment, float) and math.isfinite(moment):
        moment = math.floor(moment)
    if isinstance(moment, int) and not isinstance(moment, bool) and -(2**63) <= moment < 2**63:
        return moment
    raise _Fault(f"bad timestamp: {str(value)[:40]}")


def _iso(text: str) -> datetime.datetime:
    fault = _Fault(f"bad timestamp: {text[:40]!r}")
    match = _ISO.fullmatch(text)
    if match is None:
        raise fault
    zone = "+00:00" if match["zone"] in (None, "Z") else match["zone"]
    try:
        return datetime.datetime.fromisoformat(f"{match['date']}T{match['time'] or '00:00'}{zone}")
    except ValueError:  # no such day or hour
        raise fault from None


def _too_long(max_bytes: int) -> str:
    return f"too long: more than {max_bytes} bytes"


def _open(part: FilePart) -> io.BufferedIOBase:
    if part.file.lower().endswith(".gz"):
        return gzip.open(part.file, "rb")
    stream = open(part.file, "rb")
    stream.seek(part.begin)
    return stream


def _json(line: _Line) -> dict[str, Any]:
    text = line.text()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _Fault(f"not JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, deep nesting
        raise _Fault(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _Fault(f"not a JSON object: {type(value).__name__}")
    return value


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yields a batch's rows; strings as bytes, since a Parquet file's need not be UTF-8."""
    columns: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            columns[name] = column.cast(pa.large_binary()).to_pylist()
        elif pa.types.is_timestamp(column.type):  # pyarrow's nanoseconds would want pandas
            ticks = _TICKS[column.type.unit]
            values = column.cast(pa.int64()).to_pylist()
            columns[name] = [None if value is None else value // ticks for value in values]
        else:
            columns[name] = column.to_pylist()
    for index in range(batch.num_rows):
        yield {name: values[index] for name, values in columns.items()}


def _raise(fault: _Fault) -> Callable[[], Mapping[str, Any]]:
    def value() -> Mapping[str, Any]:
        raise fault

    return value


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _Fault(f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}") from None


def _clean(value: str, field: str) -> str:
    """Returns a string that UTF-8 can carry: JSON's escapes can name half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Fault(f"lone surrogate: in {field}") from None
    return value


def _label(fields: Mapping[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise _Fault(f"{field} is not a string: {type(value).__name__}")
    return _clean(value, field) if value else None


def _beginning(data: bytes) -> str:
    return data[: 4 * _START_CHARACTERS].decode(errors="replace")[:_START_CHARACTERS]
