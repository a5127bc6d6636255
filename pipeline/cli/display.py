"""What commands print about runs: outcomes, errors, spans, pruned files, recipes and corpora."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from models.errors import PolysemeError
from pipeline.terminal.output import Console, counted

if TYPE_CHECKING:
    from pipeline.corpus import Corpus
    from pipeline.prune import Pruned
    from pipeline.run import Outcome
    from pipeline.span_history import SpanState
    from pipeline.spans import NothingNew
    from pipeline.summary import Summary

_STATE_STYLES = {"done": "green", "cached": "cyan", "failed": "red", "interrupted": "red"}
_SPAN_STYLES = {"pushed": "green", "new": "cyan", "failed": "red"}
_MAX_LINE_LENGTH, _MAX_LINES = 1_000, 24
"""Limits on the text of an error."""


def print_outcome(outcome: Outcome) -> None:
    """Prints a run's table of steps, whether the model was blessed and why, and where to look."""
    console = Console()
    if outcome.summary:
        console.print(_steps_table(outcome.summary))
        for line in _verdict(outcome.summary):
            console.print(line, soft_wrap=True)
    if outcome.error:
        print_error(outcome.error)
    if outcome.summary and outcome.summary.destination:
        console.print(f"model   {outcome.summary.destination}", soft_wrap=True)
    if outcome.report:
        console.print(f"report  {outcome.report}", soft_wrap=True)
    console.print(f"log     {outcome.log}", soft_wrap=True)


def print_error(error: PolysemeError) -> None:
    """Prints on standard error what was wrong, where, and what to do; at most one screen."""
    console = Console(stderr=True)
    first, _, rest = _one_screen(str(error)).partition("\n")
    console.print(Text.assemble(("error: ", "bold red"), first), soft_wrap=True)
    if rest:
        console.print(rest, soft_wrap=True)


def _one_screen(text: str) -> str:
    """The text with long lines cut and, if there are many lines, those in the middle left out."""
    lines = [
        line if len(line) <= _MAX_LINE_LENGTH else f"{line[: _MAX_LINE_LENGTH - 1]}…"
        for line in text.splitlines()
    ]
    if len(lines) > _MAX_LINES:
        left_out = len(lines) - _MAX_LINES + 1
        lines[_MAX_LINES // 2 : -_MAX_LINES // 2 + 1] = [f"  … {left_out:,} more lines"]
    return "\n".join(lines)


def print_still_running(run_id: str) -> None:
    """Prints on standard error that a report is about a run that has not ended."""
    Console(stderr=True).print(
        Text(f"run {run_id} is still running; report.html is left as it is", "yellow"),
        soft_wrap=True,
    )


def print_nothing_new(nothing: NothingNew) -> None:
    """Prints on standard output why there is nothing to do; this is not an error."""
    console = Console()
    console.print(Text.assemble(("nothing new: ", "bold"), str(nothing)), soft_wrap=True)


def print_spans(states: Sequence[SpanState], following: str | None) -> None:
    """Prints a row for each span, and the label of the span that `next` takes."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("span", "state", "last run", "files", "version", "reason"):
        table.add_column(name, justify="right" if name == "files" else "left", overflow="fold")
    for state in states:
        style = _SPAN_STYLES.get(state.state, "")
        table.add_row(
            state.label,
            Text(state.state, style),
            state.when,
            f"{state.files:,}" if state.files else "gone",
            state.version,
            Text(state.reason),
        )
    console = Console()
    console.print(table)
    console.print(f"next: {following}" if following else "next: nothing new")


def print_lines(lines: Sequence[str]) -> None:
    """Prints lines without wrapping them."""
    console = Console()
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_pruned(pruned: Pruned, *, dry_run: bool) -> None:
    """Prints what was removed, or would be, and which versions are kept."""
    console = Console()
    for path in (*pruned.versions, *pruned.artifacts, *pruned.logs):
        console.print(str(path), soft_wrap=True)
    verb = "would be removed" if dry_run else "removed"
    console.print(
        f"{counted(len(pruned.versions), 'version')}, "
        f"{counted(len(pruned.artifacts), 'artifact')} and {counted(len(pruned.logs), 'log')} "
        f"{verb}, {pruned.bytes / 1e6:,.1f} MB; "
        f"versions kept: {', '.join(pruned.kept) or 'none, as no version was pushed'}"
    )


def print_recipe(name: str, docstring: str) -> None:
    """Prints a recipe's name, the first line of its docstring, and its command."""
    console = Console()
    first, _, rest = docstring.partition("\n")
    console.print(Text.assemble((name, "bold"), f"  {first}"), soft_wrap=True)
    for line in rest.splitlines():
        if "python -m" in line:
            console.print(f"    {line.strip()}", soft_wrap=True)


def print_corpus(corpus: Corpus) -> None:
    """Prints the spans of a fetched corpus and the option that reads them."""
    console = Console()
    for span in corpus.spans:
        console.print(
            f"span {span['span']}: {counted(span['documents'], 'document')}, "
            f"{span['characters'] / 1e6:.1f} million characters, {span['first']} to {span['last']}"
        )
    console.print(f"to train on it: --input '{corpus.pattern}'", soft_wrap=True)


def _steps_table(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("result", overflow="fold")
    for step in summary.steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        state = Text(step.state, _STATE_STYLES.get(step.state, "dim"))
        table.add_row(step.component, state, seconds, Text(step.result))
    return table


def _verdict(summary: Summary) -> list[Text]:
    """Whether the model was blessed and pushed, and the reasons, as lines."""
    if summary.until and summary.complete:
        return [
            Text.assemble(
                (f"stopped after {summary.until}", "bold green"),
                ", as requested: nothing was trained or pushed",
            )
        ]
    if summary.blessed is None:
        return []
    notes = [Text(f"  note: {note}") for note in summary.notes]
    if not summary.blessed:
        verdict = Text.assemble(("not blessed", "bold yellow"), ", so not pushed:")
        return [verdict, *(Text(f"  {reason}") for reason in summary.reasons), *notes]
    if summary.version:
        pushed = f" and pushed as version {summary.version}"
    else:
        pushed = ", but not pushed" + "".join(f": {reason}" for reason in summary.reasons)
    return [Text.assemble(("blessed", "bold green"), pushed), *notes]
