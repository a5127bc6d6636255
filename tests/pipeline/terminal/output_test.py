"""Control characters in texts are escaped, whichever way the texts are printed."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from models.errors import DataRefused
from models.printable import printable
from pipeline.cli import display
from pipeline.cli.answers import print_answers
from pipeline.spans import NothingNew
from pipeline.terminal.output import Console, counted, hide, say, say_json
from tests.testdata.small_corpus import ROOT

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\r\x9b31mb\x7f\u202ec\u2066d\u2028e\udcff"
SHOWN = r"a\x1b]0;owned\x07\x1b[2J\r\x9b31mb\x7f\u202ec\u2066d\u2028e\udcff"


def test_lines_and_json_have_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(HOSTILE)
    say_json({HOSTILE: 1})
    out = capsys.readouterr().out
    assert out.startswith(f"{SHOWN}\n")
    assert printable(out) == out


@pytest.mark.parametrize("terminal", [True, False])
def test_rendered_objects_have_no_control_characters(terminal: bool) -> None:
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, "red"))
    tree = Tree(HOSTILE)
    tree.add(Text(HOSTILE))
    output, colors = io.StringIO(), "standard" if terminal else None
    console = Console(file=output, force_terminal=terminal, width=200, color_system=colors)
    for each in (HOSTILE, Text.assemble((HOSTILE, "bold")), table, tree):
        console.print(each)
    shown = output.getvalue()
    assert shown.count(r"a\x1b]0;owned") == 7
    for sequence in ("\x1b[1m", "\x1b[31m", "\x1b[0m"):  # the styles of the console
        assert (sequence in shown) is terminal
        shown = shown.replace(sequence, "")
    assert printable(shown) == shown


def test_texts_are_neither_markup_nor_emoji_codes() -> None:
    output = io.StringIO()
    Console(file=output, width=80).print("[red]no[/] :bug: 1")
    assert output.getvalue() == "[red]no[/] :bug: 1\n"


def test_errors_and_answers_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    display.print_error(DataRefused(HOSTILE, where=HOSTILE, remedy=HOSTILE))
    display.print_nothing_new(NothingNew(HOSTILE))
    print_answers(
        "generate",
        [{"prompt": HOSTILE, "text": HOSTILE, "prompt_tokens_cut": 0, "finish_reason": "length"}],
    )
    print_answers("embed", [{"text": HOSTILE, "tokens": [HOSTILE], "vectors": [[0.0] * 8]}])
    print_answers(
        "fill-mask",
        [{"text": HOSTILE, "masks": [[{"word": HOSTILE, "probability": 1.0}]], "cut_masks": []}],
    )
    printed = capsys.readouterr()
    assert printed.out.count("owned") == 7
    assert printed.err.count("owned") == 3
    for text in printed:
        assert printable(text) == text


def test_tracebacks_and_records_without_a_handler_have_no_control_characters() -> None:
    program = (
        "import logging\nfrom pipeline.terminal.output import guard\nguard()\n"
        "logging.getLogger('a').warning('\\x1b[31m')\nraise ValueError('\\x1b[2J')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("\\x1b[31m\nTraceback")
    assert done.stderr.endswith("ValueError: \\x1b[2J\n")


def test_longer_secrets_are_hidden_first() -> None:
    assert hide("abcd ab", {"ab": "${A}", "abcd": "${B}"}) == "${B} ${A}"
    assert hide("abcd", {}) == "abcd"


def test_a_noun_is_singular_for_one_only() -> None:
    assert [counted(number, "file") for number in (0, 1, 1_200)] == [
        "0 files",
        "1 file",
        "1,200 files",
    ]
