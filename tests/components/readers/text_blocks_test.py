"""Tests of reading plain text: separators of documents, and text wrapped at a page width."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from components.readers.parts import FilePart
from components.readers.records import Malformed, Record
from components.readers.text_records import RecordReader

WRAPPED = """The librarian repaired the town clock during the flood, so
that the children could cross safely. The gardener opened
the town clock during the flood, while the others were still
asleep."""


def read(path: pathlib.Path, content: str, **options: Any) -> Any:
    path.write_bytes(content.encode())
    reader = RecordReader(**({"lang": "en", "max_record_bytes": 1_000} | options))
    return [*reader.read(FilePart(str(path)))]


def texts(found: Any) -> list[tuple[int, str]]:
    return [(item.line, item.document.text) for item in found]


@pytest.mark.parametrize(
    "blank", ["", " \t", "\u3000", "\u3000\u3000", "\u00a0", "\u2003", "\u1680", "\ufeff", "\u2028"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_of_any_script_separate_documents(
    tmp_path: pathlib.Path, blank: str, end: str
) -> None:
    content = end.join(["one", "still one", blank, blank, "\u3000two"]) + end
    assert texts(read(tmp_path / "a.txt", content)) == [(1, "one\nstill one"), (5, "\u3000two")]


def test_a_byte_order_mark_begins_a_document(tmp_path: pathlib.Path) -> None:
    found = read(tmp_path / "a.txt", "\ufeffone\nstill one\n\ufefftwo\n\n\ufeff\nthree")
    assert texts(found) == [(1, "one\nstill one"), (3, "two"), (6, "three")]


def test_a_file_is_one_document(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "novels-2020"
    folder.mkdir()
    content = "\n\nChapter one.\n\n  Text.\n\n\ufeffChapter two.\n\n"
    (found,) = read(folder / "emma.txt", content, document_per_file=True)
    assert isinstance(found, Record)
    assert found.document.text == "Chapter one.\n\n  Text.\n\nChapter two."
    assert (found.line, found.document.source, found.id_from_text) == (3, "novels", True)
    (long,) = read(folder / "long.txt", "x" * 600 + "\n\n" + "x" * 600, document_per_file=True)
    assert isinstance(long, Malformed)
    assert long.reason == "too long: more than 1000 bytes"
    (empty,) = read(folder / "empty.txt", "\n \n", document_per_file=True)
    assert empty.empty


def test_wrapped_lines_are_detected_and_can_be_joined(tmp_path: pathlib.Path) -> None:
    (found,) = read(tmp_path / "a.txt", WRAPPED)
    assert (found.hard_wrapped, found.document.text) == (True, WRAPPED)
    (found,) = read(tmp_path / "a.txt", WRAPPED, join_lines=True)
    assert (found.hard_wrapped, found.document.text) == (False, WRAPPED.replace("\n", " "))
    (found,) = read(
        tmp_path / "a.txt",
        "One \n two.\n\u3000\nNext\nline.\n\n\n中文\n没有空格。",
        join_lines=True,
        document_per_file=True,
    )
    assert found.document.text == "One two.\nNext line.\n中文没有空格。"


@pytest.mark.parametrize(
    "text",
    [
        "A sentence that is as long as one of a page is, with a full stop.\n" * 6,
        "A poem\nhas short lines\nand no page\nthat is\nas narrow.",
        "A paragraph of one line that goes on and on, " * 5 + "\n" + "as does this one, " * 9,
        "The librarian repaired the town clock during the flood, so\nthat the children could.",
    ],
)
def test_other_lines_are_not_detected_as_wrapped(tmp_path: pathlib.Path, text: str) -> None:
    (found,) = read(tmp_path / "a.txt", text)
    assert not found.hard_wrapped
