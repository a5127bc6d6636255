"""The README's commands run as they are written."""

import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.testdata import commands

ROOT = pathlib.Path(__file__).resolve().parents[1]

# `make demo` trains for minutes. Here its own commands run with smaller recipes on a smaller span,
# one after the other, and nothing else is changed; .ci/run runs the other targets.
FAMILIES = ("bert", "elmo", "gpt")

WORDS = "the sea was calm and a small boat with two sails came home to its harbour".split()


def shown_commands() -> list[str]:
    """The lines of the README's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def make_targets() -> list[str]:
    return [line.split()[1] for line in shown_commands() if line.startswith("make ")]


def demo_commands() -> list[str]:
    """The commands of `make demo`, without the set-up."""
    printed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.replace("\\\n", " ")  # fmt: skip
    return [line for line in printed.splitlines() if line.startswith("python ")]


def test_make_targets_are_run_by_ci() -> None:
    assert make_targets() == ["demo", "test"]
    ci = (ROOT / ".ci" / "run").read_text()
    for target in ("test-fast", "e2e"):  # what `make test` makes
        assert re.search(rf"^make {target}$", ci, re.M)
        assert re.search(rf"^in_root make .* {target}$", ci, re.M)


def test_demo_prints_three_predictions_and_the_report() -> None:
    _, *runs, predict, compare = demo_commands()
    assert [shlex.split(run)[3:5] for run in runs] == [["run", f"{name}_demo"] for name in FAMILIES]
    assert len([word for word in shlex.split(predict) if "[MASK]" in word]) == 3
    assert shlex.split(compare)[3:] == ["compare", *(f"{family}_demo" for family in FAMILIES)]


@pytest.mark.e2e
def test_demo_with_smaller_recipes(tmp_path: pathlib.Path) -> None:
    small = [
        line.replace("_demo", "_tiny").replace("--span 1", "--span 3") for line in demo_commands()
    ]
    printed = commands.shell("\n".join(small), tmp_path)
    assert printed.count("blessed and pushed as version 1") == len(FAMILIES)
    for family in FAMILIES:
        assert (tmp_path / "runs" / f"{family}_tiny" / "report.html").stat().st_size > 10_000
    comparison = (tmp_path / "runs" / "comparison.html").read_text(encoding="utf-8")
    assert "runs/comparison.html" in printed
    for part in ("bert_tiny", "elmo_tiny", "gpt_tiny", "Prompts from held-out documents"):
        assert part in comparison


@pytest.mark.e2e
def test_commands_on_the_readers_own_text(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    lines = [
        f'{{"id": "{number}", "text": "{text(number)}"}}\n' for number in range(60)
    ]  # the README says that text is all a record needs; ids keep the split the same
    (tmp_path / "mine.jsonl").write_text("".join(lines))
    lines = [line for line in shown_commands() if not line.startswith("make ")]
    printed = commands.shell("\n".join(lines), tmp_path)
    assert "bert_demo" in printed  # of recipes
    assert "Call me [MASK]." in printed
    assert "padding" in printed  # of examples
    assert "corpus fingerprint" in printed
    assert "next: 0" in printed  # of spans
    assert "usage: python -m pipeline" in printed


def text(number: int) -> str:
    """Some sentences, others for each number."""
    sentences = []
    for start in range(4):
        turn = (number * 5 + start * 3) % len(WORDS)
        sentences.append(" ".join(WORDS[turn:] + WORDS[:turn]).capitalize() + ".")
    return " ".join(sentences)
