"""What a reader of files yields: documents, and all that is none, with where it was."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components.documents import Document, text_hash
from components.readers.streams import MARK
from components.readers.timestamps import BadTimestamp, seconds

FIELDS = ("id", "text", "source", "lang", "timestamp")
EMPTY_TEXT, EMPTY_FILE = "text is empty", "no record in the file"
_START_CHARACTERS = 80
_NAMED_FIELDS = 5


class Record(NamedTuple):
    """A document and where it was.

    Attributes:
        file: its path; bytes of it that are not UTF-8 are escaped.
        line: counted from 1; in Parquet the row.
        document: the document.
        derived: whether its id was made from its text.
        wrapped: whether its lines end where the paper did, in the middle of sentences.
    """

    file: str
    line: int
    document: Document
    derived: bool
    wrapped: bool = False


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
        return self.reason in (EMPTY_TEXT, EMPTY_FILE)


class Unreadable(NamedTuple):
    """What no record can be read from, where a file is cut off or damaged.

    Attributes:
        file: the file's path, as in `Record`.
        line: number of the first line, or row, that is lost.
        reason: what is wrong.
        size: bytes of the file.
        lost_bytes: bytes of the file that are lost; 0 if it is cut off.
        lost_records: how many documents are lost; None if that cannot be known.
    """

    file: str
    line: int
    reason: str
    size: int
    lost_bytes: int
    lost_records: int | None

    def __str__(self) -> str:
        records = "unknown" if self.lost_records is None else f"{self.lost_records:,}"
        extent = (
            f"{self.lost_bytes:,} of {self.size:,} bytes"
            if self.lost_bytes
            else f"and all that followed its {self.size:,} bytes"
        )
        return f"{self.file}:{self.line} {self.reason}; lost: {records} documents, {extent}"


class Fault(Exception):
    """Why a record is malformed."""


class Row(NamedTuple):
    """A record before it is understood.

    Attributes:
        line: its place.
        start: gives how it begins, to be shown.
        value: gives its fields, or raises `Fault`.
        wrapped: as in `Record`.
    """

    line: int
    start: Callable[[], str]
    value: Callable[[], Mapping[str, Any]]
    wrapped: bool = False


def document_of(
    fields: Mapping[str, Any], *, text_field: str, source: str, lang: str
) -> tuple[Document, bool]:
    """Makes a document of a record's fields.

    Args:
        fields: by name.
        text_field: the name of the text's.
        source, lang: for a record that does not say its own.

    Returns:
        The document, and whether its id was made from its text.

    Raises:
        Fault: the fields are not those of a document.
    """
    text = fields.get(text_field)
    if text is None and text_field not in fields:
        raise Fault(no_text(text_field, [*fields]))
    if text is None:
        raise Fault("no text")
    if not isinstance(text, str):
        raise Fault(f"text is not a string: {type(text).__name__}")
    text = unicodedata.normalize("NFC", _clean(text, "text").removeprefix(MARK.decode()))
    if not text.strip():
        raise Fault(EMPTY_TEXT)
    identity = fields.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if identity is not None and not isinstance(identity, str):
        raise Fault(f"id is neither string nor integer: {type(identity).__name__}")
    try:
        timestamp = seconds(fields.get("timestamp"))
    except BadTimestamp as error:
        raise Fault(f"bad timestamp: {error}") from None
    document = Document(
        id=f"text-{text_hash(text)}" if not identity else _clean(identity, "id"),
        text=text,
        source=_label(fields, "source") or source,
        lang=_label(fields, "lang") or lang,
        timestamp=timestamp,
    )
    return document, not identity


def at_fault(fault: str) -> Callable[[], Mapping[str, Any]]:
    """The value of a `Row` that is no record."""

    def value() -> Mapping[str, Any]:
        raise Fault(fault)

    return value


def no_text(text_field: str, names: Sequence[str]) -> str:
    """The fault of a record that lacks the text's field and has others."""
    shown = ", ".join(f"{name:.40}" for name in names[:_NAMED_FIELDS])
    more = ", …" if len(names) > _NAMED_FIELDS else ""
    return f"no text: no field {text_field!r}; there are: {shown or 'none'}{more}"


def too_long(max_bytes: int) -> str:
    """The fault of a record of more bytes."""
    return f"too long: more than {max_bytes} bytes"


def decode(data: bytes) -> str:
    """UTF-8 as text; raises `Fault`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}") from None


def beginning(data: bytes) -> str:
    """The first characters of a record, to be shown."""
    return data[: 4 * _START_CHARACTERS].decode(errors="replace")[:_START_CHARACTERS]


def _clean(value: str, field: str) -> str:
    """Returns a string that UTF-8 can carry: JSON's escapes can name half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault(f"lone surrogate: in {field}") from None
    return value


def _label(fields: Mapping[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise Fault(f"{field} is not a string: {type(value).__name__}")
    return _clean(value, field) if value else None
