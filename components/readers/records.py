"""Record types that readers yield: documents, malformed records and unreadable parts of files."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components.documents import Document, text_hash
from components.readers.streams import BYTE_ORDER_MARK
from components.readers.timestamps import BadTimestamp, parse_timestamp

FIELDS = ("id", "text", "source", "lang", "timestamp")
EMPTY_TEXT, EMPTY_FILE = "text is empty", "no record in the file"
_START_CHARACTERS = 80
_NAMED_FIELDS = 5


class Record(NamedTuple):
    """A document and its place in the input.

    Attributes:
        file: the file's path; bytes that are not UTF-8 are escaped.
        line: number of the document's first line, counted from 1; in Parquet the row.
        document: the document.
        id_from_text: whether the id was computed from the text.
        hard_wrapped: whether the text seems wrapped at a page width, so that its lines end in the
            middle of sentences.
    """

    file: str
    line: int
    document: Document
    id_from_text: bool
    hard_wrapped: bool = False


class Malformed(NamedTuple):
    """A record that is not a document; a line of `quarantine.jsonl`.

    Attributes:
        file, line: as in `Record`.
        reason: "kind" or "kind: detail".
        start: the first characters of the record.
    """

    file: str
    line: int
    reason: str
    start: str

    @property
    def kind(self) -> str:
        """The kind of the reason, by which malformed records are counted."""
        return self.reason.partition(": ")[0]

    @property
    def empty(self) -> bool:
        """Whether the record has no text, like a redirect of an encyclopedia; this is no error."""
        return self.reason in (EMPTY_TEXT, EMPTY_FILE)


class Unreadable(NamedTuple):
    """A part of a file that cannot be read, because the file is truncated or damaged.

    Attributes:
        file: the file's path, as in `Record`.
        line: number of the first line, or row, that is lost.
        reason: what is wrong.
        size: size of the file in bytes.
        lost_bytes: bytes of the file that cannot be read; 0 if the file is truncated.
        lost_records: number of documents that are lost; None if unknown.
    """

    file: str
    line: int
    reason: str
    size: int
    lost_bytes: int
    lost_records: int | None

    def __str__(self) -> str:
        number = "an unknown number of" if self.lost_records is None else f"{self.lost_records:,}"
        lost = (
            f"{self.lost_bytes:,} of {self.size:,} bytes"
            if self.lost_bytes
            else f"and everything after its {self.size:,} bytes"
        )
        return f"{self.file}:{self.line} {self.reason}; lost: {number} documents, {lost}"


class Fault(Exception):
    """A record is malformed; the message is the `reason` of `Malformed`."""


class Row(NamedTuple):
    """A record that is not parsed yet.

    Attributes:
        line: number of its first line, or row of a Parquet file.
        start: returns its first characters, for messages.
        value: returns its fields, or raises `Fault`.
        hard_wrapped: as in `Record`.
    """

    line: int
    start: Callable[[], str]
    value: Callable[[], Mapping[str, Any]]
    hard_wrapped: bool = False


def make_document(
    fields: Mapping[str, Any], *, text_field: str, source: str, lang: str
) -> tuple[Document, bool]:
    """Makes a document from a record's fields.

    Args:
        fields: values by name.
        text_field: name of the field that holds the text.
        source, lang: values for a record without these fields.

    Returns:
        The document, and whether its id was computed from its text.

    Raises:
        Fault: a field is missing or has a wrong value.
    """
    text = fields.get(text_field)
    if text is None and text_field not in fields:
        raise Fault(no_text_reason(text_field, [*fields]))
    if text is None:
        raise Fault("no text")
    if not isinstance(text, str):
        raise Fault(f"text is not a string: {type(text).__name__}")
    text = _encodable(text, "text").removeprefix(BYTE_ORDER_MARK.decode())
    text = unicodedata.normalize("NFC", text)
    if not text.strip():
        raise Fault(EMPTY_TEXT)
    document_id = fields.get("id")
    if isinstance(document_id, int) and not isinstance(document_id, bool):
        document_id = str(document_id)
    if document_id is not None and not isinstance(document_id, str):
        raise Fault(f"id is neither string nor integer: {type(document_id).__name__}")
    try:
        timestamp = parse_timestamp(fields.get("timestamp"))
    except BadTimestamp as error:
        raise Fault(f"bad timestamp: {error}") from None
    document = Document(
        id=_encodable(document_id, "id") if document_id else f"text-{text_hash(text)}",
        text=text,
        source=_label(fields, "source") or source,
        lang=_label(fields, "lang") or lang,
        timestamp=timestamp,
    )
    return document, not document_id


def faulty_value(fault: str) -> Callable[[], Mapping[str, Any]]:
    """The `value` of a `Row` that is known to be malformed."""

    def value() -> Mapping[str, Any]:
        raise Fault(fault)

    return value


def no_text_reason(text_field: str, names: Sequence[str]) -> str:
    """Why a record without the text's field is malformed; names the fields that it has."""
    shown = ", ".join(f"{name:.40}" for name in names[:_NAMED_FIELDS])
    more = ", …" if len(names) > _NAMED_FIELDS else ""
    return f"no text: no field {text_field!r}; there are: {shown or 'none'}{more}"


def too_long_reason(max_bytes: int) -> str:
    """Why a record of more than `max_bytes` bytes is malformed."""
    return f"too long: more than {max_bytes} bytes"


def decode(data: bytes) -> str:
    """Decodes UTF-8.

    Raises:
        Fault: the data is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}") from None


def excerpt(data: bytes) -> str:
    """The first characters of a record, for messages."""
    return data[: 4 * _START_CHARACTERS].decode(errors="replace")[:_START_CHARACTERS]


def _encodable(value: str, field: str) -> str:
    """Checks that a string can be encoded in UTF-8; JSON escapes may give lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault(f"lone surrogate: in {field}") from None
    return value


def _label(fields: Mapping[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise Fault(f"{field} is not a string: {type(value).__name__}")
    return _encodable(value, field) if value else None
