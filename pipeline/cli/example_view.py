"""What `examples` prints: training examples as text, and histograms of lengths and targets."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from pipeline.terminal.output import Console, counted

if TYPE_CHECKING:
    import numpy as np

    from models.objective import RenderedToken
    from pipeline.inspection import Inspection

_PART_STYLES = {"first": "", "second": "cyan", "special": "dim"}
_MAX_BARS, _BAR_WIDTH = 12, 40


def print_examples(inspection: Inspection) -> None:
    """Prints examples as text, each changed token with its target, then a summary and histograms.

    A token that the model must predict is red, and its target follows it in green.
    """
    console = Console()
    for number, (rows, facts) in enumerate(zip(inspection.shown, inspection.facts, strict=True), 1):
        scalars = "  ".join(f"{name} {value}" for name, value in facts.items())
        console.print(Text.assemble((f"example {number}", "bold"), f"  {scalars}"), soft_wrap=True)
        for row in rows:
            console.print(_row(row))
    summary = inspection.summary
    console.print(
        f"{counted(summary['examples'], 'example')} from"
        f" {counted(summary['documents'], 'document')} in {counted(summary['files'], 'file')};"
        f" {summary['padding_share']:.1%} of the positions are padding"
    )
    for reason, count in summary["tally"].items():
        if count:
            console.print(f"  {reason.replace('_', ' ')}: {count:,}")
    for name, values in inspection.values.items():
        title = f"{name.replace('_', ' ')} of {counted(inspection.counted, 'example')}"
        console.print(Text(f"{title}: mean {values.mean():.1f}", "bold"))
        console.print(_histogram(values))


def _row(row: Sequence[RenderedToken]) -> Text:
    text = Text()
    for token in row:
        is_target = token.label is not None
        text.append(token.text, "red" if is_target else _PART_STYLES[token.part])
        if is_target:
            text.append(f"→{token.label}", "bold green")
    return text


def _histogram(values: np.ndarray) -> Table:
    """A histogram with at most `_MAX_BARS` bins of equal width; the fullest bin has a full bar."""
    low, high = int(values.min()), int(values.max())
    bin_width = -(-(high - low + 1) // _MAX_BARS)
    count_by_bin = collections.Counter(((values.astype(int) - low) // bin_width).tolist())
    counts = [count_by_bin[number] for number in range((high - low) // bin_width + 1)]
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(width=_BAR_WIDTH)
    for number, count in enumerate(counts):
        start = low + number * bin_width
        end = min(start + bin_width - 1, high)
        label = f"{start}" if start == end else f"{start} to {end}"
        table.add_row(label, f"{count:,}", Bar(max(counts), 0, count))
    return table
