"""One self-contained HTML page of a run: corpus, training, figures, answers and a word's maps.

A view, not a step: it is written from what ML Metadata and the run's files hold, failed runs
included. The page needs no network and no script; pictures are SVG inside it. The only home of
matplotlib.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from components.reporting import render as report_page
from components.reporting import word_senses
from components.reporting.inputs import OVERALL, ReportInputs, TrainingPoint, Version
from components.reporting.word_senses import LayerSimilarity, WordVectors
from components.search_space import field_name
from components.storage.publish import write_whole
from components.tuning.trials import Search
from components.validation.corpus_statistics import SplitStatistics
from models.objective import Metric

__all__ = ["ReportInputs", "write_comparison", "write_report"]

_INK, _BLUE, _ORANGE, _GREEN, _GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#8c8c8c"
_MARKS = ((_BLUE, "o"), (_ORANGE, "^"), (_GREEN, "s"), ("#cc79a7", "D"))
"""Okabe and Ito's colours, told apart by colour-blind readers too, each with its own mark."""

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",  # text stays text; the reader's browser finds glyphs, Chinese included
    "svg.hashsalt": "polyseme",  # the same inputs give the same bytes
    "text.parse_math": False,  # a dollar sign in a source's name is a dollar sign
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
_NAN = float("nan")
_MOST_SLICES, _MOST_LABELS = 24, 7  # what a picture holds and still can be read
_WIDTH = 5.6  # inches: a figure fills half a wide page or the whole of a narrow one


def write_report(inputs: ReportInputs, path: pathlib.Path | str) -> None:
    """Writes the page of one run; the file is complete or it is not there.

    Args:
        inputs: what to show; parts that are missing are left out and the page says so.
        path: the `.html` file, replaced if it exists.
    """
    similarities = _similarities(inputs)
    _write(path, report_page.render(inputs, _pictures(inputs, similarities), similarities))


def write_comparison(models: Sequence[ReportInputs], path: pathlib.Path | str) -> None:
    """Writes a page that shows models side by side: figures, answers, the ambiguous word.

    Args:
        models: what to show of each; parts that are missing are left out and the page says so.
        path: the `.html` file, replaced if it exists.
    """
    similarities = [_similarities(inputs) for inputs in models]
    gaps = {inputs.name: found for inputs, found in zip(models, similarities, strict=True) if found}
    together = [_image(partial(_gaps, gaps=gaps), "Gap of each model by layer")] if gaps else []
    shown = [
        (inputs, _pictures(inputs, found), found)
        for inputs, found in zip(models, similarities, strict=True)
    ]
    _write(path, report_page.render_comparison(shown, together))


def _similarities(inputs: ReportInputs) -> list[LayerSimilarity]:
    return word_senses.similarities(inputs.bank) if inputs.bank else []


def _write(path: pathlib.Path | str, html: str) -> None:
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(str(path), [html])


def _pictures(
    inputs: ReportInputs, similarities: Sequence[LayerSimilarity]
) -> Mapping[str, Sequence[Markup]]:
    """Images by the section they belong to."""
    pictures: dict[str, list[Markup]] = {
        name: []
        for name in ("corpus", "tuning", "training", "evaluation", "slices", "history", "bank")
    }
    splits = {name: split for name, split in inputs.corpus.items() if len(split.length_counts)}
    if splits:
        height = 1.0 + 1.3 * len(splits)
        alt = "Histogram of document lengths in characters, by split"
        pictures["corpus"].append(_image(partial(_lengths, splits=splits), alt, height))
    if inputs.search:
        for field, value in inputs.search.trials[0].values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                alt = f"Held-out loss of the trials by {report_page.title(field_name(field))}"
                draw = partial(_trials, search=inputs.search, field=field)
                pictures["tuning"].append(_image(draw, alt, 2.8))
    if len(inputs.training) > 1:
        points = inputs.training
        alt = f"Training loss by step, from {points[0].loss:.3g} to {points[-1].loss:.3g}"
        pictures["training"] += [
            _image(partial(_loss, points=points), alt),
            _image(partial(_pace, points=points), "Learning rate and tokens a second, by step"),
        ]
    overall = inputs.evaluation.get(OVERALL, {})
    compared = [metric for metric in inputs.metrics if metric.baseline and metric.name in overall]
    shares = [metric for metric in compared if metric.higher_is_better]
    for chosen in (shares, [metric for metric in compared if metric.exponentiate]):
        if chosen:
            names = ", ".join(report_page.title(metric.name) for metric in chosen)
            alt = f"Bars of {names} beside the baselines"
            picture = _image(partial(_comparison, inputs=inputs, metrics=chosen), alt)
            pictures["evaluation"].append(picture)
    slices = [name for name in inputs.evaluation if name != OVERALL][:_MOST_SLICES]
    if shares and slices:
        metric, height = shares[0], 1.2 + 0.3 * len(slices)
        alt = f"{report_page.title(metric.name)} of each slice beside its baseline"
        draw = partial(_slices, inputs=inputs, slices=slices, metric=metric)
        picture = _image(draw, alt, height)
        pictures["slices"].append(picture)
    if len(inputs.history) > 1:
        for metric in shares:
            alt = f"{report_page.title(metric.name)} over the runs"
            draw = partial(_history, history=inputs.history, metric=metric)
            pictures["history"].append(_image(draw, alt, 2.6))
    if inputs.bank:
        pictures["bank"] = _word_maps(inputs.bank, similarities)
    return pictures


def _image(draw: Callable[[Figure], None], alt: str, height: float = 3.4) -> Markup:
    """What `draw` draws, as an image that carries its own data."""
    with matplotlib.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # matplotlib measures text with its own font; the browser draws it with one that fits
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(alt, data)


def _lengths(figure: Figure, splits: Mapping[str, SplitStatistics]) -> None:
    axes = figure.subplots(len(splits), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, split), (color, _) in zip(axes, splits.items(), itertools.cycle(_MARKS)):
        axis.stairs(split.length_counts, split.length_edges, fill=True, color=color)
        axis.set_ylabel(f"{name}\ndocuments")
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.set_ylim(bottom=0)
    axes[0].set_title("Lengths of the documents")
    axes[-1].set_xlabel("characters")
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _trials(figure: Figure, search: Search, field: str) -> None:
    axis = figure.subplots()
    values = [trial.values[field] for trial in search.trials]
    losses = [trial.loss for trial in search.trials]
    axis.scatter(values, losses, color=_BLUE, label="trial")
    failed = [trial for trial in search.trials if trial.held_out_loss is None]
    if failed:  # above all others
        known = [trial.loss for trial in search.trials if trial not in failed]
        lowest, highest = min(known, default=0.0), max(known, default=1.0)
        above = np.full(len(failed), highest + 0.1 * (highest - lowest))
        at = [trial.values[field] for trial in failed]
        axis.scatter(at, above, color=_GREY, marker="x", label="failed")
    if search.best:
        x, y = search.best.values[field], search.best.loss
        axis.scatter([x], [y], s=110, color=_ORANGE, marker="*", zorder=3, label="best")
    if field in search.logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel=report_page.title(field_name(field)), ylabel="held-out loss, nats")
    axis.margins(0.1)
    axis.legend()


def _loss(figure: Figure, points: Sequence[TrainingPoint]) -> None:
    axis = figure.subplots()
    steps = [point.step for point in points]
    terms = points[-1].terms
    if len(terms) > 1:
        for name, (color, _) in zip(terms, itertools.cycle(_MARKS)):
            values = [point.terms.get(name, _NAN) for point in points]
            axis.plot(steps, values, color=color, label=report_page.title(name))
    axis.plot(steps, [point.loss for point in points], color=_INK, lw=2, label="loss")
    axis.set(title="Training loss", xlabel="step", ylabel="nats")
    axis.legend()


def _pace(figure: Figure, points: Sequence[TrainingPoint]) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    steps = [point.step for point in points]
    above.plot(steps, [point.learning_rate for point in points], color=_BLUE)
    above.set(title="Learning rate and speed", ylabel="learning rate", ylim=(0, None))
    above.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    below.plot(steps, [point.tokens_per_second for point in points], color=_GREEN)
    below.set(xlabel="step", ylabel="tokens / s", ylim=(0, None))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _comparison(figure: Figure, inputs: ReportInputs, metrics: Sequence[Metric]) -> None:
    """Bars of this model, the last blessed one and the baseline, metric by metric."""
    axis = figure.subplots()
    overall, previous = inputs.evaluation[OVERALL], inputs.previous.get(OVERALL, {})
    bars = {
        "this model": (_BLUE, [overall[metric.name] for metric in metrics]),
        "last blessed": (_GREEN, [previous.get(metric.name, _NAN) for metric in metrics]),
        "baseline": (
            _GREY,
            [overall.get(metric.baseline or "", _NAN) for metric in metrics],
        ),
    }
    bars = {name: bar for name, bar in bars.items() if not np.isnan(bar[1]).all()}
    width = 0.8 / len(bars)
    for place, (name, (color, values)) in enumerate(bars.items()):
        centres = np.arange(len(metrics)) + (place - (len(bars) - 1) / 2) * width
        drawn = axis.bar(centres, values, width * 0.92, color=color, label=name)
        axis.bar_label(drawn, [report_page.number(value) for value in values], padding=2)
    axis.set_xticks(range(len(metrics)), [report_page.title(metric.name) for metric in metrics])
    axis.margins(y=0.12)
    axis.grid(axis="x", visible=False)
    axis.set_title("Higher is better" if metrics[0].higher_is_better else "Lower is better")
    figure.legend(loc="outside lower center", ncols=len(bars))


def _slices(figure: Figure, inputs: ReportInputs, slices: Sequence[str], metric: Metric) -> None:
    axis = figure.subplots()
    rows = [inputs.evaluation[name] for name in slices]
    places = np.arange(len(slices))[::-1]
    values = [row.get(metric.name, _NAN) for row in rows]
    drawn = axis.barh(places, values, 0.7, color=_BLUE, label="this model")
    axis.bar_label(drawn, [report_page.number(value) for value in values], padding=3)
    baseline = [row.get(metric.baseline or "", _NAN) for row in rows]
    axis.scatter(baseline, places, marker="|", s=120, color=_ORANGE, lw=2.5, zorder=3)
    axis.scatter([], [], marker="|", s=120, color=_ORANGE, lw=2.5, label="baseline")
    axis.set_yticks(places, slices)
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.12)
    axis.set_title(f"{report_page.title(metric.name)} by slice")
    figure.legend(loc="outside lower center", ncols=2)


def _history(figure: Figure, history: Sequence[Version], metric: Metric) -> None:
    axis = figure.subplots()
    places = range(len(history))
    values = np.array([version.figures.get(metric.name, _NAN) for version in history])
    baseline = [version.figures.get(metric.baseline or "", _NAN) for version in history]
    axis.plot(places, values, color=_BLUE, marker="o", label="model")
    refused = [place for place in places if history[place].blessed is not True]
    axis.scatter(refused, values[refused], s=70, color="white", edgecolor=_ORANGE, lw=2, zorder=3)
    if refused:
        axis.scatter([], [], s=70, color="white", edgecolor=_ORANGE, lw=2, label="not blessed")
    axis.plot(places, baseline, color=_GREY, ls="--", label="baseline")
    named = places[:: math.ceil(len(history) / _MOST_LABELS)]
    axis.set_xticks(named, [history[place].label for place in named])
    axis.set_title(report_page.title(metric.name))
    axis.margins(y=0.1)
    axis.set_ylim(bottom=0)
    axis.legend(loc="best")


def _word_maps(words: WordVectors, similarities: Sequence[LayerSimilarity]) -> list[Markup]:
    """The static vector, the contextual ones in the same scale, and the cosines by layer."""
    layers = words.vectors.shape[1] - 1
    before, after = (word_senses.plane(words.vectors[:, layer]) for layer in (0, layers))
    reach = 1.25 * max(np.abs(before).max(), np.abs(after).max(), 1e-3)

    def static(figure: Figure) -> None:
        axis = figure.subplots()
        axis.scatter(
            before[:, 0], before[:, 1], s=18, color=_GREY, label="layer 0 in each sentence"
        )
        axis.scatter(0, 0, marker="*", s=320, color=_INK, zorder=3, label="their mean")
        _frame(axis, f"Static: one “{words.word}” for every sentence", reach)

    def contextual(figure: Figure) -> None:
        axis = figure.subplots()
        for sense, (color, mark) in zip(dict.fromkeys(words.senses), itertools.cycle(_MARKS)):
            chosen = [place for place, name in enumerate(words.senses) if name == sense]
            x, y = after[chosen].T
            axis.scatter(x, y, s=55, color=color, marker=mark, label=sense)
        for place, point in enumerate(after, start=1):
            axis.annotate(str(place), point, xytext=(5, 4), textcoords="offset points")
        _frame(axis, f"In context: layer {layers}", reach)

    def by_layer(figure: Figure) -> None:
        axis = figure.subplots()
        at = [similarity.layer for similarity in similarities]
        for sense, (color, mark) in zip(similarities[0].within, itertools.cycle(_MARKS)):
            values = [similarity.within[sense] for similarity in similarities]
            axis.plot(at, values, color=color, marker=mark, label=f"within {sense}")
        between = [similarity.between for similarity in similarities]
        axis.plot(at, between, color=_INK, ls="--", marker="x", label="between the senses")
        axis.set(title="Mean cosine by layer", xlabel="layer", ylabel="cosine")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()

    return [
        _image(static, f"Map with a single point: the static vector of {words.word}", 4.6),
        _image(contextual, f"Map of the vectors of {words.word} in {len(after)} sentences", 4.6),
        _image(by_layer, "Mean cosine within and between the senses, by layer"),
    ]


def _gaps(figure: Figure, gaps: Mapping[str, Sequence[LayerSimilarity]]) -> None:
    axis = figure.subplots()
    for (name, found), (color, mark) in zip(gaps.items(), itertools.cycle(_MARKS)):
        at = [similarity.layer for similarity in found]
        axis.plot(at, [each.gap for each in found], color=color, marker=mark, label=name)
    axis.set(title="Cosine within the meanings less between them", xlabel="layer", ylabel="gap")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.axhline(0, color=_GREY, lw=0.8)
    axis.legend()


def _frame(axis: Axes, title: str, reach: float) -> None:
    axis.set(title=title, xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.set(xlabel="first principal component", ylabel="second principal component")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
