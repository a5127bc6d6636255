"""Tests of DataGate's checks of unreadable files and malformed records."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from components.readers.records import EMPTY_TEXT, Malformed, Unreadable
from components.validation.ingestion_checks import malformed_check, unreadable_check

CUT = Unreadable("/in/a.jsonl.gz", 7, "damaged file: cut off", 500, 0, None)
GROUPS = [
    Unreadable("/in/b.parquet", 301, "damaged row group: x", 900, 200, 300),
    Unreadable("/in/b.parquet", 901, "damaged row group: x", 900, 200, 300),
]


def ingested(*unreadable: Unreadable, **counts: Any) -> dict[str, Any]:
    return {"unreadable": [item._asdict() for item in unreadable], **counts}


def test_an_unreadable_file_is_refused_unless_it_is_allowed_by_name() -> None:
    found = ingested(CUT, *GROUPS)
    check = unreadable_check(found, [])
    assert not check.passed
    assert check.value == "2, of which 2 not allowed; lost: at least 600 documents, 400 bytes"
    assert check.examples == [str(CUT), *map(str, GROUPS)]
    assert check.remedy.endswith("--set ingestion.allow_unreadable=a.jsonl.gz,b.parquet")
    check = unreadable_check(found, ["a.jsonl.gz"])
    assert (check.passed, check.value) == (
        False,
        "2, of which 1 not allowed; lost: at least 600 documents, 400 bytes",
    )
    assert check.examples == [*map(str, GROUPS)]
    for allowed in (["/in/a.jsonl.gz", "b.parquet"], ["b.parquet", "a.jsonl.gz", "c"]):
        check = unreadable_check(found, allowed)
        assert check.passed
        assert check.value == "2; lost: at least 600 documents, 400 bytes"
        assert check.examples[0] == str(CUT)  # the loss is reported nevertheless
    assert not unreadable_check(found, ["jsonl.gz", "/other/b.parquet"]).passed
    assert unreadable_check(ingested(), []).passed
    many = unreadable_check(ingested(*GROUPS * 4), [])
    assert many.value == "1, of which 1 not allowed; lost: 2,400 documents, 1,600 bytes"
    assert many.examples[3:] == ["and 5 more places"]


def test_a_loss_of_unknown_size_is_not_reported_as_zero() -> None:
    check = unreadable_check(ingested(CUT), [])
    assert check.value == "1, of which 1 not allowed"
    assert check.examples == [str(CUT)]  # says that everything after the file's end is lost
    without_records = CUT._replace(lost_bytes=200)
    check = unreadable_check(ingested(without_records), ["a.jsonl.gz"])
    assert check.value == "1; lost: at least 200 bytes"


@pytest.mark.parametrize(("bound", "passed"), [(0.1, True), (0.09, False)])
def test_the_share_of_malformed_records_is_bounded(
    tmp_path: pathlib.Path, bound: float, passed: bool
) -> None:
    path = tmp_path / "quarantine.jsonl"
    records = [Malformed("a", 1, EMPTY_TEXT, ""), Malformed("a", 2, "not JSON: x", "")]
    path.write_text("".join(json.dumps(item._asdict()) + "\n" for item in records))
    counts = {"quarantined": 2, "empty": 1, "splits": {"train": {"documents": 9}}}
    check = malformed_check(ingested(**counts), str(path), bound)
    assert (check.passed, check.value) == (passed, "1 of 10, 10.00%")
    assert check.examples == ("a:2 not JSON: x",)
