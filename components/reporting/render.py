"""The report's page: which sections there are, in which words, with which tables."""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from components.evaluation.bootstrap import Interval
from components.reporting.inputs import MOST_VALUES, OVERALL, ReportInputs
from components.reporting.word_senses import LayerSimilarity
from components.search_space import field_name, format_value
from components.validation.corpus_statistics import SplitStatistics
from models.objective import Metric


def number(value: float | None) -> str:
    """A figure as a reader wants it: the digits that matter, a dash for what is missing."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if isinstance(value, int) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def title(name: str) -> str:
    """A metric's or a sum's name in words: `masked_lm_nll_sum` → `masked-LM loss`."""
    words = name.removesuffix("_sum").replace("nll", "loss").replace("_", " ")
    return words.replace("masked lm", "masked-LM")


def _ends(found: Interval | None) -> str:
    """The ends of an interval, ` [low, high]`; nothing where there is none."""
    if found is None or (math.isinf(found.high) and not math.isinf(found.value)):
        return ""
    return f" [{number(found.low)}, {number(found.high)}]"


def _figure(name: str, inputs: ReportInputs) -> str:
    """A metric over all examples, with its interval."""
    return number(inputs.evaluation[OVERALL][name]) + _ends(inputs.intervals.get(name))


def _change(found: Interval | None) -> str:
    return "–" if found is None else number(found.value) + _ends(found)


def _bounds(metric: Metric) -> str:
    bounds = []
    if metric.lower_bound is not None:
        bounds.append(f"at least {number(metric.lower_bound)}")
    if metric.upper_bound is not None:
        bounds.append(f"at most {number(metric.upper_bound)}")
    if metric.max_regression is not None:
        bounds.append(f"at most {number(metric.max_regression)} worse than the last blessed")
    if not bounds:
        return ""
    return f"{'; '.join(bounds)}, by the {metric.end} end"


def _status(inputs: ReportInputs) -> tuple[str, str]:
    """CSS class and words of the run's outcome."""
    if inputs.at_work:
        return "quiet", "Still running"
    for state in ("failed", "interrupted"):
        where = [step.component for step in inputs.steps if step.state.lower() == state]
        if where:
            return "bad", f"{state.capitalize()} in {', '.join(where)}"
    if inputs.blessed is None:
        return "bad", "Not evaluated"
    return ("good", "Blessed") if inputs.blessed else ("bad", "Not blessed")


def _ranked(
    splits: Sequence[SplitStatistics], shares_of: str, count: str
) -> list[tuple[str, list[float]]]:
    """Rows (name, share by split), the largest first; those that are not listed are one row.

    Args:
        splits: the splits.
        shares_of: the field with shares by name.
        count: the field with the number of names. No split has all of them, so that of all splits
            together is not known.
    """
    by_split = [getattr(split, shares_of) for split in splits]
    totals: collections.Counter[str] = collections.Counter()
    for split, shares in zip(splits, by_split, strict=True):
        for name, share in shares.items():
            totals[name] += share * split.documents
    names = sorted(totals, key=lambda name: (-totals[name], name))[:MOST_VALUES]
    rows = [(name, [shares.get(name, 0.0) for shares in by_split]) for name in names]
    others = [1 - sum(column) for column in zip(*(shares for _, shares in rows), strict=True)]
    if any(share > 0.0005 for share in others):
        more = max(len(totals), *(getattr(split, count) for split in splits)) - len(rows)
        rows.append((f"at least {more:,} more" if more > 0 else "others", others))
    return rows


def render(
    inputs: ReportInputs,
    pictures: Mapping[str, Sequence[Markup]],
    similarities: Sequence[LayerSimilarity],
) -> str:
    """The page of one run.

    Args:
        inputs: what to show.
        pictures: images by section: corpus, tuning, training, evaluation, slices, history, bank.
        similarities: cosines of the ambiguous word, by layer.
    """
    splits = list(inputs.corpus.values())
    return _template("report.html.j2").render(
        _model(inputs, pictures, similarities),
        lists=[
            (heading, rows)
            for heading, rows in (
                ("Source", _ranked(splits, "sources", "source_count")),
                ("Language", _ranked(splits, "languages", "language_count")),
            )
            if rows
        ],
        facts=[
            (label, [read(split) for split in splits])
            for label, read in (
                ("Number", lambda split: split.documents),
                ("Characters", lambda split: split.characters),
                ("Shortest, characters", lambda split: split.min_characters),
                ("Median", lambda split: split.median_characters),
                ("Longest", lambda split: split.max_characters),
                ("Repeated, share", lambda split: split.duplicate_share),
            )
        ],
    )


def render_comparison(
    models: Sequence[
        tuple[ReportInputs, Mapping[str, Sequence[Markup]], Sequence[LayerSimilarity]]
    ],
    together: Sequence[Markup],
) -> str:
    """The page of several models side by side.

    Args:
        models: what `render` takes, of each; of the pictures evaluation and bank are shown.
        together: images of the ambiguous word in all models.
    """
    contexts = [_model(*model) for model in models]
    return _template("comparison.html.j2").render(
        heading=", ".join(context["heading"] for context in contexts),
        models=contexts,
        pictures={"bank": together},
    )


@functools.cache
def _template(name: str) -> jinja2.Template:
    """A template of `templates/`; everything that it shows is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("components.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        number=number,
        title=title,
        bounds=_bounds,
        change=_change,
        figure=_figure,
        field_name=field_name,
        format_value=format_value,
    )
    return environment.get_template(name)


def _model(
    inputs: ReportInputs,
    pictures: Mapping[str, Sequence[Markup]],
    similarities: Sequence[LayerSimilarity],
) -> dict[str, Any]:
    """What the templates of one model's sections ask for."""
    overall = inputs.evaluation.get(OVERALL, {})
    baselines = {metric.baseline for metric in inputs.metrics}
    shown = [m for m in inputs.metrics if m.name in overall and m.name not in baselines]
    return {
        "inputs": inputs,
        "heading": inputs.name if inputs.span is None else f"{inputs.name}, span {inputs.span}",
        "pictures": pictures,
        "similarities": similarities,
        "status": _status(inputs),
        "overall": overall,
        "previous": inputs.previous.get(OVERALL, {}),
        "metrics": shown or [Metric(name, "", "") for name in overall],
        "last": inputs.training[-1] if inputs.training else None,
    }
