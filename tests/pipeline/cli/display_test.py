"""What people read: every fact there, no traceback, nothing eaten by markup."""

import pathlib

import pytest

from models.errors import DataRefused
from pipeline.cli import display
from pipeline.metadata.lineage import Lineage
from pipeline.run import Outcome
from pipeline.span_history import SpanState
from pipeline.spans import NothingNew
from pipeline.summary import Step, Summary


def test_the_end_of_a_run_that_was_not_blessed(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_the_end_of_a_run_that_pushed(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("a", [Step("Pusher", "done", 1.0, "")], True, (), "17", "/s/17")
    display.print_outcome(Outcome(summary, None, pathlib.Path("a.log"), None))
    printed = capsys.readouterr().out
    assert "blessed and pushed as version 17" in printed
    assert "model   /s/17" in printed
    assert "report" not in printed
    assert "note" not in printed


def test_the_end_of_a_run_says_what_was_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    notes = ["loss is not compared [yet]"]
    summary = Summary("a", [Step("Pusher", "done", 1.0, "")], True, (), "17", "/s/17", notes)
    display.print_outcome(Outcome(summary, None, pathlib.Path("a.log"), None))
    assert "  note: loss is not compared [yet]" in capsys.readouterr().out


def test_spans_have_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    states = [
        SpanState("2024-05-01", 739007, "pushed", "2024-05-01 17:30", 1200, "17", ""),
        SpanState("2024-05-02", 739008, "refused", "2024-05-02 08:00", 0, "", "[bad] text"),
        SpanState("2024-05-03", 739009, "new", "", 2, "", ""),
    ]
    display.print_spans(states, "2024-05-03")
    *rows, following = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        ["span", "state", "last", "tried", "files", "version", "why"],
        ["2024-05-01", "pushed", "2024-05-01", "17:30", "1,200", "17"],
        ["2024-05-02", "refused", "2024-05-02", "08:00", "gone", "[bad]", "text"],
        ["2024-05-03", "new", "2"],
    ]
    assert following == "next: 2024-05-03"
    display.print_spans([], None)
    assert capsys.readouterr().out.splitlines()[-1] == "next: nothing new"


def test_nothing_new_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_nothing_new(NothingNew("no span is left", where="a-{SPAN}[12].txt"))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "nothing new: no span is left",
        "  where: a-{SPAN}[12].txt",
    ]
    assert captured.err == ""


def test_an_error_is_told_whole_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_error(
        DataRefused("no [MASK]\n  second line", where="[a].txt:3", remedy="mend it")
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: no [MASK]",
        "  second line",
        "  where: [a].txt:3",
        "  to do: mend it",
    ]


def test_answers_of_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    choices = [{"word": "bank", "probability": 0.75}, {"word": "[UNK]", "probability": 0.125}]
    filled = {"text": "A [MASK] here.", "masks": [choices], "cut_masks": [], "token_limit": 64}
    display.print_answers("fill-mask", [filled])
    assert capsys.readouterr().out.splitlines() == [
        "A [MASK] here.",
        "    bank 0.750  [UNK] 0.125",
    ]
    display.print_answers("next-sentence", [{"first": "a", "second": "b", "probability": 0.5}])
    assert "0.500" in capsys.readouterr().out
    answer = {"text": "a", "tokens": ["[CLS]", "a"], "vectors": [[0.25, 1.0], [-1.0, 0.0]]}
    display.print_answers("embed", [answer])
    printed = capsys.readouterr().out
    assert "2 tokens, vectors of width 2" in printed
    assert "+0.25 +1.00" in printed
    answer = {"text": "a b", "total": -2.0, "perplexity": 2.75, "tokens": ["a", "Ġb"]}
    display.print_answers("score", [answer])
    assert capsys.readouterr().out.splitlines() == [
        "a b",
        "    2 tokens, perplexity 2.8, log-probability -2.00",
    ]
    answer = {
        "prompt": "We",
        "text": " [the] people",
        "token_count": 3,
        "finish_reason": "length",
        "prompt_tokens_cut": 0,
    }
    more = {"finish_reason": "context_full", "prompt_tokens_cut": 7}
    display.print_answers("generate", [answer, answer | more])
    assert capsys.readouterr().out.splitlines() == [
        "We [the] people",
        "We [the] people",
        "    The prompt is longer than the model's context: its first 7 tokens were cut.",
        "    The context was full after 3 new tokens.",
    ]


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ([2], "the 2nd [MASK] lies beyond the 64 tokens that the model reads"),
        ([11, 12], "the 11th to the 12th [MASK] lie beyond the 64 tokens that the model reads"),
        ([21, 22, 23], "the 21st to the 23rd [MASK] lie beyond the 64 tokens that the model reads"),
    ],
)
def test_a_mask_that_was_not_read_is_named(
    cut: list[int], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"text": "[MASK]", "masks": [], "cut_masks": cut, "token_limit": 64}
    display.print_answers("fill-mask", [answer])
    assert capsys.readouterr().out.splitlines() == ["[MASK]", f"    {said}"]


def test_a_lineage_goes_down_to_the_text_and_on_to_the_base(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def made(version: str | None, span: int, base: Lineage | None) -> Lineage:
        return Lineage(
            version=version,
            destination=f"/s/{version}" if version else None,
            model=f"/model/{span}",
            recipe="bert_tiny",
            config={"training": {"steps": 7, "optimizer": {"beta_1": 0.9}}},
            code="c0de",
            commit="1a2b3c4",
            fingerprint=f"all-{span}",
            examples=f"/examples/{span}",
            vocabulary="/vocabulary",
            vocabulary_size=1234,
            cleaned=f"/cleaned/{span}",
            documents=f"/documents/{span}",
            span=span,
            label=f"0{span}",
            pattern=f"a-{span}.jsonl",
            corpus=f"text-{span}",
            base=base,
        )

    display.print_lineage(made("18", 2, made(None, 1, None)))
    printed = capsys.readouterr().out
    order = [
        "version 18",
        "/model/2",
        "c0de  (1a2b3c4)",
        "steps=7 optimizer.beta_1=0.9",
        "1,234",
        "span 02 of a-2",
        "text-2",
        "text-1",
    ]
    positions = [printed.index(text) for text in order]
    assert positions == sorted(positions)
    assert "never pushed" in printed


def test_an_error_fits_on_one_screen_whatever_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = "\n".join(f"  line {number} " + "x" * 100_000 for number in range(1_000))
    display.print_error(DataRefused("bad\n" + lines, where="here", remedy="mend it"))
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "error: bad"
    assert "  … 980 lines more" in printed
    assert printed[-2:] == ["  where: here", "  to do: mend it"]
    assert len(printed) == 24
    assert max(map(len, printed)) == 1_000


def test_lineage_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    pattern = "/corpora/" + "a" * 500
    empty = Lineage(
        "17", "/s", "m", "r", {}, "c", "", "f", "e", "v", 9, "c", "d", 1, "1", pattern, "p", None
    )
    display.print_lineage(empty)
    assert f"span 1 of {pattern}\n" in capsys.readouterr().out
