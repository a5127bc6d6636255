"""What commands print: the end of a run, answers, lineage, recipes, errors."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from models.errors import PolysemeError
from pipeline.terminal.output import Console

if TYPE_CHECKING:
    import numpy as np

    from models.objective import Position
    from pipeline.answering_model import AnsweringModel
    from pipeline.corpus import Corpus
    from pipeline.inspection import Inspection
    from pipeline.metadata.lineage import Lineage
    from pipeline.prune import Pruned
    from pipeline.run import Outcome
    from pipeline.span_history import SpanState
    from pipeline.spans import NothingNew
    from pipeline.summary import Summary

_STATE_STYLES = {"done": "green", "cached": "cyan", "failed": "red", "interrupted": "red"}
_SPAN_STYLES = {"pushed": "green", "new": "cyan", "failed": "red"}
_SHOWN_TOKENS = 12
_LINE, _LINES = 1_000, 24  # of an error: characters of a line, and lines
_UNCUT = 100_000  # characters of a line that a program may read
_PART_STYLES = {"first": "", "second": "cyan", "special": "dim"}
_BARS, _BAR_WIDTH = 12, 40


def print_outcome(outcome: Outcome) -> None:
    """The table of components, blessed or not and why, and where everything lies."""
    console = Console()
    if outcome.summary:
        console.print(_table(outcome.summary))
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
    """One screen on standard error: what, where, what to do."""
    console = Console(stderr=True)
    first, _, rest = _one_screen(str(error)).partition("\n")
    console.print(Text.assemble(("error: ", "bold red"), first), soft_wrap=True)
    if rest:
        console.print(rest, soft_wrap=True)


def _one_screen(text: str) -> str:
    """A text cut to what a reader sees at once: the ends of long lines go, and lines amid many."""
    lines = [line if len(line) <= _LINE else f"{line[: _LINE - 1]}…" for line in text.splitlines()]
    if len(lines) > _LINES:
        left_out = len(lines) - _LINES + 1
        lines[_LINES // 2 : -_LINES // 2 + 1] = [f"  … {left_out:,} lines more"]
    return "\n".join(lines)


def print_at_work(run_id: str) -> None:
    """On standard error, that a report is of a run that has not ended."""
    Console(stderr=True).print(
        Text(f"run {run_id} is still at work; report.html stays as it is", "yellow"),
        soft_wrap=True,
    )


def print_nothing_new(nothing: NothingNew) -> None:
    """Why there is nothing to do, on standard output: it is no error."""
    console = Console()
    console.print(Text.assemble(("nothing new: ", "bold"), str(nothing)), soft_wrap=True)


def print_spans(states: Sequence[SpanState], following: str | None) -> None:
    """A row for each span, and the one that `next` takes."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("span", "state", "last tried", "files", "version", "why"):
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
    """Lines as they are, none wrapped."""
    console = Console()
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_pruned(pruned: Pruned, *, dry_run: bool) -> None:
    """What was removed, or would be, and which versions stay."""
    console = Console()
    for path in (*pruned.versions, *pruned.artifacts, *pruned.logs):
        console.print(str(path), soft_wrap=True)
    done = "would be removed" if dry_run else "removed"
    console.print(
        f"{len(pruned.versions)} versions and {len(pruned.artifacts)} artifacts {done}, "
        f"{pruned.bytes / 1e6:,.1f} MB; kept: {', '.join(pruned.kept) or 'no version was pushed'}"
    )


def print_recipe(name: str, text: str) -> None:
    """A recipe's name, its docstring's first line and its command."""
    console = Console()
    first, _, rest = text.partition("\n")
    console.print(Text.assemble((name, "bold"), f"  {first}"), soft_wrap=True)
    for line in rest.splitlines():
        if "python -m" in line:
            console.print(f"    {line.strip()}", soft_wrap=True)


def print_corpus(corpus: Corpus) -> None:
    """The spans that were fetched and how to use them."""
    console = Console()
    for span in corpus.spans:
        console.print(
            f"span {span['span']}: {span['documents']:,} documents, "
            f"{span['characters'] / 1e6:.1f} million characters, {span['first']} to {span['last']}"
        )
    console.print(f"use it: --input '{corpus.pattern}'", soft_wrap=True)


def print_model(model: AnsweringModel) -> None:
    """Which model answers, on standard error."""
    console = Console(stderr=True)
    console.print(Text(f"answered by {model}", "dim"), soft_wrap=True)


def print_answers(task: str, answers: Sequence[Mapping[str, Any]]) -> None:
    """Predictions for a reader; the numbers in full are for --json."""
    console = Console()
    for answer in answers:
        if task == "fill-mask":
            console.print(Text(answer["text"], "bold"), soft_wrap=True)
            for choices in answer["masks"]:
                shown = "  ".join(f"{c['word']} {c['probability']:.3f}" for c in choices)
                console.print(f"    {shown}", soft_wrap=True)
            if answer["cut_masks"]:
                console.print(f"    {_cut_masks(answer)}", soft_wrap=True)
        elif task == "score":
            console.print(Text(answer["text"], "bold"), soft_wrap=True)
            console.print(
                f"    {len(answer['tokens'])} tokens, perplexity {answer['perplexity']:.1f}, "
                f"log-probability {answer['total']:.2f}"
            )
        elif task == "generate":
            text = Text.assemble((answer["prompt"], "bold"), answer["text"])
            console.print(text, soft_wrap=True)
            if cut := answer["prompt_tokens_cut"]:
                console.print(
                    f"    The prompt is longer than the model's context: its first {cut} tokens "
                    "were cut."
                )
            if answer["finish_reason"] == "context_full":
                console.print(f"    The context was full after {answer['token_count']} new tokens.")
        elif task == "next-sentence":
            console.print(Text(f"{answer['first']} / {answer['second']}", "bold"), soft_wrap=True)
            console.print(f"    follows with probability {answer['probability']:.3f}")
        else:
            width = len(answer["vectors"][0])
            console.print(Text(answer["text"], "bold"), soft_wrap=True)
            console.print(f"    {len(answer['tokens'])} tokens, vectors of width {width}")
            for token, vector in list(zip(answer["tokens"], answer["vectors"], strict=True))[
                :_SHOWN_TOKENS
            ]:
                start = " ".join(f"{value:+.2f}" for value in vector[:6])
                console.print(f"    {token:16} {start} …", soft_wrap=True)
            if len(answer["tokens"]) > _SHOWN_TOKENS:
                console.print("    …")


def _cut_masks(answer: Mapping[str, Any]) -> str:
    """Which [MASK] of a text were not read."""
    cut = answer["cut_masks"]
    first, last = _ordinal(cut[0]), _ordinal(cut[-1])
    which = f"the {first} to the {last} [MASK] lie" if len(cut) > 1 else f"the {first} [MASK] lies"
    return f"{which} beyond the {answer['token_limit']} tokens that the model reads"


def _ordinal(number: int) -> str:
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")


def print_lineage(lineage: Lineage) -> None:
    """A tree from the pushed version down to the text, and on to the model it started from."""
    Console(width=_UNCUT).print(_lineage_tree(lineage), soft_wrap=True)


def print_examples(found: Inspection) -> None:
    """Examples in words, labels in green behind what stands there, then bars of the figures."""
    console = Console()
    for number, (rows, facts) in enumerate(zip(found.shown, found.facts, strict=True), start=1):
        told = "  ".join(f"{name} {value}" for name, value in facts.items())
        console.print(Text.assemble((f"example {number}", "bold"), f"  {told}"), soft_wrap=True)
        for row in rows:
            console.print(_spelled(row))
    summary = found.summary
    console.print(
        f"{summary['examples']:,} examples of {summary['documents']:,} documents in"
        f" {summary['files']:,} files; {summary['padding_share']:.1%} of the positions are padding"
    )
    for reason, count in summary["tally"].items():
        if count:
            console.print(f"  {reason.replace('_', ' ')}: {count:,}")
    for name, values in found.figures.items():
        title = f"{name.replace('_', ' ')} of {found.counted:,} examples: mean {values.mean():.1f}"
        console.print(Text(title, "bold"))
        console.print(_bars(values))


def _spelled(row: Sequence[Position]) -> Text:
    text = Text()
    for position in row:
        changed = position.label is not None
        text.append(position.text, "red" if changed else _PART_STYLES[position.part])
        if changed:
            text.append(f"→{position.label}", "bold green")
    return text


def _bars(values: np.ndarray) -> Table:
    """A histogram in at most `_BARS` rows, as wide as the fullest needs."""
    low, high = int(values.min()), int(values.max())
    width = -(-(high - low + 1) // _BARS)
    rows = collections.Counter(((values.astype(int) - low) // width).tolist())
    counts = [rows[row] for row in range((high - low) // width + 1)]
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(width=_BAR_WIDTH)
    for row, count in enumerate(counts):
        begin = low + row * width
        name = f"{begin}" if width == 1 else f"{begin} to {min(begin + width - 1, high)}"
        table.add_row(name, f"{count:,}", Bar(max(counts), 0, count))
    return table


def _table(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("component")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("key figures", overflow="fold")
    for step in summary.steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        state = Text(step.state, _STATE_STYLES.get(step.state, "dim"))
        table.add_row(step.component, state, seconds, Text(step.figures))
    return table


def _verdict(summary: Summary) -> list[Text]:
    if summary.until and summary.complete:
        ended = (f"ended after {summary.until}", "bold green")
        return [Text.assemble(ended, ", as wanted: nothing was trained or pushed")]
    if summary.blessed is None:
        return []
    notes = [Text(f"  note: {note}") for note in summary.notes]
    if not summary.blessed:
        lines = [Text.assemble(("not blessed", "bold yellow"), ", so not pushed:")]
        return lines + [Text(f"  {reason}") for reason in summary.reasons] + notes
    if summary.version:
        told = f" and pushed as version {summary.version}"
    else:
        told = ", but not pushed" + "".join(f": {reason}" for reason in summary.reasons)
    return [Text.assemble(("blessed", "bold green"), told), *notes]


def _lineage_tree(lineage: Lineage) -> Tree:
    name = f"version {lineage.version}" if lineage.version else "a model that was never pushed"
    name += ", rolled back" if lineage.rolled_back else ""
    tree = Tree(Text(name, "bold"))
    if lineage.destination:
        was = "was " if lineage.rolled_back else ""
        tree.add(Text(f"{was}served from  {lineage.destination}"))
    model = tree.add(Text(f"model  {lineage.model}"))
    model.add(Text(f"recipe  {lineage.recipe}, fingerprint {lineage.fingerprint}"))
    model.add(Text(f"code  {lineage.code}" + (f"  ({lineage.commit})" if lineage.commit else "")))
    configuration = model.add(Text("configuration"))
    for section, fields in sorted(lineage.config.items()):
        configuration.add(Text(f"{section}  {_flat(fields)}"))
    examples = model.add(Text(f"examples  {lineage.examples}"))
    size = f", {lineage.vocabulary_size:,} entries" if lineage.vocabulary_size else ""
    examples.add(Text(f"vocabulary  {lineage.vocabulary}{size}"))
    cleaned = examples.add(Text(f"cleaned  {lineage.cleaned}"))
    documents = cleaned.add(Text(f"documents  {lineage.documents}"))
    documents.add(Text(f"span {lineage.label} of {lineage.pattern}"))
    documents.add(Text(f"corpus fingerprint  {lineage.corpus}"))
    if lineage.window:
        cleaned.add(Text(f"and documents of span {', '.join(lineage.window)}"))
    if lineage.base:
        base = model.add(Text("training started from"))
        base.add(_lineage_tree(lineage.base))
    return tree


def _flat(fields: Any, prefix: str = "") -> str:
    if not isinstance(fields, dict):
        return str(fields)
    return " ".join(
        _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else f"{prefix}{name}={value}"
        for name, value in fields.items()
    )
