"""Tests of the gates' checks: the message of a refusal, and the files that are written."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from components.validation.gate_checks import (
    CHECKS_FILE,
    Check,
    approve,
    read_checks,
    refuse_if_failed,
    share_check,
)
from models.errors import DataRefused

GOOD = Check("train", "documents", "30", "at least 2", True, "validation.min_documents")
BAD = Check(
    "train",
    "unknown tokens",
    "100%",
    "at most 10%",
    False,
    "validation.max_unknown_share",
    ("a: 100% 图书",),
    "learn a vocabulary",
)


def test_a_share_at_its_bound_passes() -> None:
    check = share_check("odd documents", 1, 20, 0.05, field="f", examples=["x"])
    assert str(check) == "split all, odd documents: 1 of 20, 5.00%; bound: at most 5.00% (f)"
    assert check.passed
    assert not share_check("odd documents", 2, 20, 0.05, field="f").passed
    assert share_check("odd documents", 0, 0, 0.0, field="f").passed


def test_checks_that_passed_are_written_and_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    refuse_if_failed([GOOD], {}, gate="Gate", span=1, folder=str(tmp_path / "quarantine"))
    assert not (tmp_path / "quarantine").exists()
    approve([GOOD], str(tmp_path))
    assert read_checks(tmp_path / CHECKS_FILE) == [dataclasses.replace(GOOD, examples=[])]


def test_a_refusal_lists_the_failed_checks_and_keeps_the_evidence(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "quarantine"
    with pytest.raises(DataRefused) as refused:
        refuse_if_failed([GOOD, BAD], {"seen": 7}, gate="Gate", span=3, folder=str(folder))
    evidence = folder / "span-3.Gate.json"
    assert str(refused.value) == (
        "the text is not fit to train on: 1 of 2 checks failed\n"
        "  split train, unknown tokens: 100%; bound: at most 10% (validation.max_unknown_share)\n"
        "    a: 100% 图书\n"
        f"  all checks and the numbers behind them are in {evidence}\n"
        "  where: Gate, span 3\n"
        "  to do: learn a vocabulary; or change the bound if this text is wanted:"
        " validation.max_unknown_share"
    )
    kept = json.loads(evidence.read_text(encoding="utf-8"))
    assert (kept["gate"], kept["span"], kept["seen"]) == ("Gate", 3, 7)
    assert [check.passed for check in read_checks(evidence)] == [True, False]


def test_a_refusal_fits_on_a_screen(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataRefused, match="and 34 more") as refused:
        refuse_if_failed([BAD] * 40, {}, gate="Gate", span=3, folder=str(tmp_path))
    assert len(str(refused.value).splitlines()) < 20
