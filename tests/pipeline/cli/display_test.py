"""What commands print about runs; markup in texts is not interpreted."""

import pathlib

import pytest

from models.errors import DataRefused
from pipeline.cli import display
from pipeline.run import Outcome
from pipeline.span_history import SpanState
from pipeline.spans import NothingNew
from pipeline.summary import Step, Summary


def test_the_outcome_of_a_run_that_was_not_blessed(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(
        run_id="a",
        steps=[
            Step("Trainer", "done", 12.34, "20 steps, loss 7 → 6"),
            Step("Pusher", "cached", 0.1, "not pushed"),
        ],
        blessed=False,
        reasons=["masked_lm_accuracy is 0.1, below its lower bound 0.2"],
        version=None,
        destination=None,
    )
    report, log = pathlib.Path("/r/report.html"), pathlib.Path("/r/a.log")
    display.print_outcome(Outcome(summary, None, log, report))
    printed = capsys.readouterr().out
    for text in (
        "Trainer",
        "12.3",
        "20 steps, loss 7 → 6",
        "cached",
        "not blessed",
        "masked_lm_accuracy is 0.1, below its lower bound 0.2",
        "/r/report.html",
        "/r/a.log",
    ):
        assert text in printed


def test_the_outcome_of_a_run_that_pushed(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("a", [Step("Pusher", "done", 1.0, "")], True, (), "17", "/s/17")
    display.print_outcome(Outcome(summary, None, pathlib.Path("a.log"), None))
    printed = capsys.readouterr().out
    assert "blessed and pushed as version 17" in printed
    assert "model   /s/17" in printed
    assert "report" not in printed
    assert "note" not in printed


def test_the_outcome_of_a_run_includes_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    notes = ["loss is not compared [yet]"]
    summary = Summary("a", [Step("Pusher", "done", 1.0, "")], True, (), "17", "/s/17", notes)
    display.print_outcome(Outcome(summary, None, pathlib.Path("a.log"), None))
    assert "  note: loss is not compared [yet]" in capsys.readouterr().out


def test_each_span_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    states = [
        SpanState("2024-05-01", 739007, "pushed", "2024-05-01 17:30", 1200, "17", ""),
        SpanState("2024-05-02", 739008, "refused", "2024-05-02 08:00", 0, "", "[bad] text"),
        SpanState("2024-05-03", 739009, "new", "", 2, "", ""),
    ]
    display.print_spans(states, "2024-05-03")
    *rows, following = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        ["span", "state", "last", "run", "files", "version", "reason"],
        ["2024-05-01", "pushed", "2024-05-01", "17:30", "1,200", "17"],
        ["2024-05-02", "refused", "2024-05-02", "08:00", "gone", "[bad]", "text"],
        ["2024-05-03", "new", "2"],
    ]
    assert following == "next: 2024-05-03"
    display.print_spans([], None)
    assert capsys.readouterr().out.splitlines()[-1] == "next: nothing new"


def test_nothing_new_is_printed_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_nothing_new(NothingNew("no span is left", where="a-{SPAN}[12].txt"))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "nothing new: no span is left",
        "  where: a-{SPAN}[12].txt",
    ]
    assert captured.err == ""


def test_an_error_is_printed_with_all_its_parts_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display.print_error(
        DataRefused("no [MASK]\n  second line", where="[a].txt:3", remedy="correct it")
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: no [MASK]",
        "  second line",
        "  where: [a].txt:3",
        "  to do: correct it",
    ]


def test_a_long_error_is_shortened_to_one_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = "\n".join(f"  line {number} " + "x" * 100_000 for number in range(1_000))
    display.print_error(DataRefused("bad\n" + lines, where="here", remedy="correct it"))
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "error: bad"
    assert "  … 980 more lines" in printed
    assert printed[-2:] == ["  where: here", "  to do: correct it"]
    assert len(printed) == 24
    assert max(map(len, printed)) == 1_000
