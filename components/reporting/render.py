"""Renders the pages of a report and of a comparison from the Jinja templates in `templates/`."""

from __future__ import annotations

import collections
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from components.reporting.formatting import bounds, change, number, title, with_interval
from components.reporting.inputs import MAX_VALUES, OVERALL, ReportInputs
from components.reporting.word_senses import LayerSimilarity
from components.search_space import field_name, format_value
from components.validation.corpus_statistics import SplitStatistics
from models.metric import Metric
from models.printable import printable

Charts = Mapping[str, Sequence[Markup]]
"""Images by the section that they belong to: corpus, tuning, training, evaluation, slices, history,
word_senses."""


def render_report(
    inputs: ReportInputs, charts: Charts, similarities: Sequence[LayerSimilarity]
) -> str:
    """The page of one run, as HTML.

    Args:
        inputs: the contents.
        charts: the images of all sections.
        similarities: cosine similarities of the ambiguous word, by layer.
    """
    splits = list(inputs.corpus.values())
    shares = (
        ("Source", _largest_shares(splits, "sources", "source_count")),
        ("Language", _largest_shares(splits, "languages", "language_count")),
    )
    statistics = (
        ("Count", [split.documents for split in splits]),
        ("Characters", [split.characters for split in splits]),
        ("Shortest, characters", [split.min_characters for split in splits]),
        ("Median, characters", [split.median_characters for split in splits]),
        ("Longest, characters", [split.max_characters for split in splits]),
        ("Share of duplicates", [split.duplicate_share for split in splits]),
    )
    return _environment().get_template("report.html.j2").render(
        _context(inputs, charts, similarities),
        statistics=statistics,
        shares=[(heading, rows) for heading, rows in shares if rows],
    )  # fmt: skip


def render_comparison(
    models: Sequence[tuple[ReportInputs, Charts, Sequence[LayerSimilarity]]],
    gap_charts: Sequence[Markup],
) -> str:
    """The page of several models side by side, as HTML.

    Args:
        models: the arguments of `render_report` for each model; of the images, only those of the
            sections evaluation and word_senses are shown.
        gap_charts: images about the ambiguous word in all models.
    """
    contexts = [_context(*model) for model in models]
    return _environment().get_template("comparison.html.j2").render(
        heading=", ".join(context["heading"] for context in contexts),
        models=contexts,
        charts={"word_senses": gap_charts},
    )  # fmt: skip


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("components.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_without_control_characters,
    )
    environment.filters.update(
        bounds=bounds,
        change=change,
        field_name=field_name,
        format_value=format_value,
        number=number,
        title=title,
        with_interval=with_interval,
    )
    return environment


def _without_control_characters(value: Any) -> Any:
    """A value of a template with control characters escaped, if it is a text from outside."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _context(
    inputs: ReportInputs, charts: Charts, similarities: Sequence[LayerSimilarity]
) -> dict[str, Any]:
    """The variables of the templates that show one model."""
    overall = inputs.evaluation.get(OVERALL, {})
    baselines = {metric.baseline for metric in inputs.metrics}
    metrics = [m for m in inputs.metrics if m.name in overall and m.name not in baselines]
    outcome, outcome_class = _outcome(inputs)
    return {
        "inputs": inputs,
        "heading": inputs.name if inputs.span is None else f"{inputs.name}, span {inputs.span}",
        "charts": charts,
        "similarities": similarities,
        "outcome": outcome,
        "outcome_class": outcome_class,
        "overall": overall,
        "last_blessed": inputs.last_blessed.get(OVERALL, {}),
        "metrics": metrics or [Metric(name, "", "") for name in overall],
        "last_point": inputs.training[-1] if inputs.training else None,
    }


def _outcome(inputs: ReportInputs) -> tuple[str, str]:
    """How the run ended, and the CSS class of that text."""
    if inputs.running_at:
        return "Still running", "quiet"
    for state in ("failed", "interrupted"):
        components = [step.component for step in inputs.steps if step.state.lower() == state]
        if components:
            return f"{state.capitalize()} in {', '.join(components)}", "bad"
    if inputs.blessed is None:
        return "Not evaluated", "bad"
    return ("Blessed", "good") if inputs.blessed else ("Not blessed", "bad")


def _largest_shares(
    splits: Sequence[SplitStatistics], shares_field: str, count_field: str
) -> list[tuple[str, list[float]]]:
    """Rows (name, share by split) of a table, the largest first; the last row has all others.

    Args:
        splits: the splits.
        shares_field: name of the field with shares by name.
        count_field: name of the field with the number of names. It counts the names of one split;
            the number of names in all splits together is unknown.
    """
    by_split = [getattr(split, shares_field) for split in splits]
    totals: collections.Counter[str] = collections.Counter()
    for split, shares in zip(splits, by_split, strict=True):
        for name, share in shares.items():
            totals[name] += share * split.documents
    names = sorted(totals, key=lambda name: (-totals[name], name))[:MAX_VALUES]
    rows = [(name, [shares.get(name, 0.0) for shares in by_split]) for name in names]
    others = [1 - sum(column) for column in zip(*(shares for _, shares in rows), strict=True)]
    if any(share > 0.0005 for share in others):
        more = max(len(totals), *(getattr(split, count_field) for split in splits)) - len(rows)
        rows.append((f"at least {more:,} more" if more > 0 else "others", others))
    return rows
