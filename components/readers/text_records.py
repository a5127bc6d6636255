"""`RecordReader`: streams files of any format as documents, and reports what is malformed.

The reader never guesses: a record that it cannot interpret is malformed, with file, line and
reason. A record without an id gets one computed from its text, so that the same text has the same
id, and the same split, in every file. Parts of files that cannot be read are reported separately,
because the number of documents in them is unknown.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

from components.readers.csv_rows import csv_rows
from components.readers.files import source_name
from components.readers.formats import format_mismatch, format_of, printable_path
from components.readers.json_rows import json_rows
from components.readers.lines import Lines
from components.readers.parquet_rows import parquet_rows
from components.readers.parts import FilePart
from components.readers.records import (
    EMPTY_FILE,
    FIELDS,
    Fault,
    Malformed,
    Record,
    Row,
    Unreadable,
    make_document,
)
from components.readers.streams import READ_ERRORS, open_lines
from components.readers.text_blocks import text_rows


@dataclasses.dataclass(frozen=True)
class RecordReader:
    """Reads files, with one record in memory.

    Args:
        lang: language of documents without a `lang`.
        max_record_bytes: longer records are malformed, and are skipped without loading them.
        text_field: name of the field or column that holds the text.
        encoding: encoding of files without a byte order mark.
        document_per_file: whether a .txt file is one document.
        join_lines: whether the lines of each paragraph in a .txt file are joined by spaces.
    """

    lang: str
    max_record_bytes: int
    text_field: str = "text"
    encoding: str = "utf-8"
    document_per_file: bool = False
    join_lines: bool = False

    def read(self, part: FilePart) -> Iterator[Record | Malformed | Unreadable]:
        """Yields the records of a part of a file, in order.

        Lines are counted from 1, and in Parquet rows. A document of a .txt file has the number of
        its first line. A document without a source gets the one of `files.source_name`.
        """
        file, source = printable_path(part.file), self._source(part.file)
        empty = True
        for row in self._rows(part):
            empty = False
            if isinstance(row, Unreadable):
                yield row
                continue
            try:
                document, id_from_text = make_document(
                    row.value(), text_field=self.text_field, source=source, lang=self.lang
                )
            except Fault as fault:
                yield Malformed(file, row.line, str(fault), row.start())
            else:
                yield Record(file, row.line, document, id_from_text, row.hard_wrapped)
        if empty and part.whole:
            yield Malformed(file, 1, EMPTY_FILE, "")

    def _source(self, file: str) -> str:
        """The source by name: of the folder if each file is a document, else of the file."""
        one_document = self._is_one_document(file)
        return source_name(os.path.dirname(os.path.abspath(file)) if one_document else file)

    def _is_one_document(self, file: str) -> bool:
        form = format_of(file)
        return self.document_per_file and form is not None and form.kind == "txt"

    def _rows(self, part: FilePart) -> Iterator[Row | Unreadable]:
        form = format_of(part.file)
        kind = form.kind if form else ""
        try:
            size = os.path.getsize(part.file)
            if not size:
                return
            if part.begin == 0 and kind != "parquet" and (fault := format_mismatch(part.file)):
                raise OSError(fault)
            if kind == "parquet":
                yield from self._parquet(part, size)
                return
            stream, raw = open_lines(part.file, part.begin, self.encoding)
        except READ_ERRORS as error:
            yield self._unreadable(part, part.line, error, None)
            return
        with contextlib.closing(stream), contextlib.closing(raw):
            lines = Lines(stream, part, self.max_record_bytes)
            if kind == "txt":
                yield from text_rows(
                    lines,
                    self.max_record_bytes,
                    whole=self.document_per_file,
                    join=self.join_lines,
                )
            elif kind in ("csv", "tsv"):
                yield from csv_rows(lines, kind, self.max_record_bytes)
            else:
                yield from json_rows(lines)
            if lines.error:
                yield self._unreadable(part, lines.number, lines.error, raw.tell())

    def _parquet(self, part: FilePart, size: int) -> Iterator[Row | Unreadable]:
        names = (self.text_field, *(name for name in FIELDS if name != "text"))
        for row in parquet_rows(part, names, self.max_record_bytes):
            if isinstance(row, Row):
                yield row
            else:
                line, reason, records, lost = row
                yield Unreadable(printable_path(part.file), line, reason, size, lost, records)

    def _unreadable(
        self, part: FilePart, line: int, error: BaseException, position: int | None
    ) -> Unreadable:
        """Reports what is lost of a part: everything after a position, or all of it."""
        size = os.path.getsize(part.file) if os.path.isfile(part.file) else 0
        end = size if part.end is None or not position else part.end
        lost = size if position is None else max(0, end - position)
        message = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = f"damaged file: {message.splitlines()[0][:200]}"
        return Unreadable(printable_path(part.file), line, reason, size, lost, None)
