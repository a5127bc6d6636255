"""Tests of making documents from records, and of reporting malformed and unreadable ones."""

from __future__ import annotations

import pytest

from components.documents import Document
from components.readers.records import Fault, Malformed, Unreadable, make_document, no_text_reason


def test_make_document() -> None:
    options = {"text_field": "body", "source": "s", "lang": "en"}
    document, id_from_text = make_document(
        {"body": "\ufeffCafe\u0301", "id": 7, "text": 1}, **options
    )
    assert (document, id_from_text) == (Document("7", "Café", "s", "en", 0), False)
    _, id_from_text = make_document({"body": "x", "id": ""}, **options)
    assert id_from_text
    with pytest.raises(Fault, match="no text: no field 'body'; there are: text"):
        make_document({"text": "x"}, **options)
    with pytest.raises(Fault, match="text is empty"):
        make_document({"body": "\ufeff\u3000\n"}, **options)


def test_a_missing_text_field_is_reported_with_a_few_short_names() -> None:
    assert no_text_reason("text", []) == "no text: no field 'text'; there are: none"
    fault = no_text_reason("text", [f"{n}" * 100 for n in range(9)])
    assert fault.endswith("3" * 40 + ", " + "4" * 40 + ", …")


def test_losses_are_reported_in_documents_and_bytes() -> None:
    assert (
        str(Unreadable("a.parquet", 301, "damaged row group: x", 5_000, 1_200, 300))
        == "a.parquet:301 damaged row group: x; lost: 300 documents, 1,200 of 5,000 bytes"
    )
    assert (
        str(Unreadable("a.gz", 7, "damaged file: cut", 5_000, 0, None))
        == "a.gz:7 damaged file: cut; lost: an unknown number of documents, and everything after"
        " its 5,000 bytes"
    )
    assert Malformed("a", 1, "text is empty", "").empty
    assert Malformed("a", 1, "not JSON: x", "").kind == "not JSON"
