"""The charts of a report: corpus, tuning, training, metrics and history."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from components.reporting.formatting import number, title
from components.reporting.inputs import OVERALL, ReportInputs, TrainingPoint, Version
from components.reporting.svg import BLUE, GREEN, GREY, INK, MARKS, ORANGE, svg_image
from components.reporting.word_charts import word_charts
from components.reporting.word_senses import LayerSimilarity
from components.search_space import field_name
from components.tuning.trials import Search
from components.validation.corpus_statistics import SplitStatistics
from models.metric import Metric

_NAN = float("nan")
_MAX_SLICES, _MAX_LABELS = 24, 7  # more would not be legible


def report_charts(
    inputs: ReportInputs, similarities: Sequence[LayerSimilarity]
) -> dict[str, list[Markup]]:
    """The images of a report, by the section that they belong to."""
    return {
        "corpus": _corpus_charts(inputs.corpus),
        "tuning": _tuning_charts(inputs.search) if inputs.search else [],
        "training": _training_charts(inputs.training),
        "evaluation": _evaluation_charts(inputs),
        "slices": _slice_charts(inputs),
        "history": _history_charts(inputs),
        "word_senses": (
            word_charts(inputs.word_vectors, similarities) if inputs.word_vectors else []
        ),
    }


def _corpus_charts(corpus: Mapping[str, SplitStatistics]) -> list[Markup]:
    splits = {name: split for name, split in corpus.items() if len(split.length_counts)}
    if not splits:
        return []
    alt = "Histogram of document lengths in characters, by split"
    return [svg_image(partial(_draw_lengths, splits=splits), alt, 1.0 + 1.3 * len(splits))]


def _tuning_charts(search: Search) -> list[Markup]:
    """Charts of the loss over each numeric hyperparameter."""
    return [
        svg_image(
            partial(_draw_trials, search=search, field=field),
            f"Held-out loss of the trials by {title(field_name(field))}",
            2.8,
        )
        for field, value in search.trials[0].values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _training_charts(points: Sequence[TrainingPoint]) -> list[Markup]:
    if len(points) < 2:
        return []
    alt = f"Training loss by step, from {points[0].loss:.3g} to {points[-1].loss:.3g}"
    return [
        svg_image(partial(_draw_loss, points=points), alt),
        svg_image(
            partial(_draw_speed, points=points), "Learning rate and tokens per second, by step"
        ),
    ]


def _evaluation_charts(inputs: ReportInputs) -> list[Markup]:
    """Bar charts of the metrics that have a baseline: shares, and perplexities."""
    perplexities = [metric for metric in _compared(inputs) if metric.exponentiate]
    images = []
    for metrics in (_shares(inputs), perplexities):
        if metrics:
            names = ", ".join(title(metric.name) for metric in metrics)
            draw = partial(_draw_comparison, inputs=inputs, metrics=metrics)
            images.append(svg_image(draw, f"Bar chart of {names}, with the baselines"))
    return images


def _slice_charts(inputs: ReportInputs) -> list[Markup]:
    slices = [name for name in inputs.evaluation if name != OVERALL][:_MAX_SLICES]
    shares = _shares(inputs)
    if not shares or not slices:
        return []
    draw = partial(_draw_slices, inputs=inputs, slices=slices, metric=shares[0])
    alt = f"Bar chart of {title(shares[0].name)} by slice, with the baseline"
    return [svg_image(draw, alt, 1.2 + 0.3 * len(slices))]


def _history_charts(inputs: ReportInputs) -> list[Markup]:
    if len(inputs.history) < 2:
        return []
    return [
        svg_image(
            partial(_draw_history, history=inputs.history, metric=metric),
            f"{title(metric.name)} over the runs",
            2.6,
        )
        for metric in _shares(inputs)
    ]


def _compared(inputs: ReportInputs) -> list[Metric]:
    """The metrics that have a baseline and were computed."""
    overall = inputs.evaluation.get(OVERALL, {})
    return [metric for metric in inputs.metrics if metric.baseline and metric.name in overall]


def _shares(inputs: ReportInputs) -> list[Metric]:
    return [metric for metric in _compared(inputs) if metric.higher_is_better]


def _draw_lengths(figure: Figure, splits: Mapping[str, SplitStatistics]) -> None:
    axes = figure.subplots(len(splits), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, split), (color, _) in zip(axes, splits.items(), itertools.cycle(MARKS)):
        axis.stairs(split.length_counts, split.length_edges, fill=True, color=color)
        axis.set_ylabel(f"{name}\ndocuments")
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.set_ylim(bottom=0)
    axes[0].set_title("Document lengths")
    axes[-1].set_xlabel("characters")
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_trials(figure: Figure, search: Search, field: str) -> None:
    axis = figure.subplots()
    values = [trial.values[field] for trial in search.trials]
    losses = [trial.loss for trial in search.trials]
    axis.scatter(values, losses, color=BLUE, label="trial")
    failed = [trial for trial in search.trials if trial.held_out_loss is None]
    if failed:  # above all other trials
        finite = [trial.loss for trial in search.trials if trial not in failed]
        lowest, highest = min(finite, default=0.0), max(finite, default=1.0)
        y = np.full(len(failed), highest + 0.1 * (highest - lowest))
        x = [trial.values[field] for trial in failed]
        axis.scatter(x, y, color=GREY, marker="x", label="failed")
    if search.best:
        best_x, best_y = [search.best.values[field]], [search.best.loss]
        axis.scatter(best_x, best_y, s=110, color=ORANGE, marker="*", zorder=3, label="best")
    if field in search.logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(xlabel=title(field_name(field)), ylabel="held-out loss, nats")
    axis.margins(0.1)
    axis.legend()


def _draw_loss(figure: Figure, points: Sequence[TrainingPoint]) -> None:
    axis = figure.subplots()
    steps = [point.step for point in points]
    terms = points[-1].terms
    if len(terms) > 1:
        for name, (color, _) in zip(terms, itertools.cycle(MARKS)):
            values = [point.terms.get(name, _NAN) for point in points]
            axis.plot(steps, values, color=color, label=title(name))
    axis.plot(steps, [point.loss for point in points], color=INK, lw=2, label="loss")
    axis.set(title="Training loss", xlabel="step", ylabel="nats")
    axis.legend()


def _draw_speed(figure: Figure, points: Sequence[TrainingPoint]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    steps = [point.step for point in points]
    upper.plot(steps, [point.learning_rate for point in points], color=BLUE)
    upper.set(title="Learning rate and speed", ylabel="learning rate", ylim=(0, None))
    upper.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    lower.plot(steps, [point.tokens_per_second for point in points], color=GREEN)
    lower.set(xlabel="step", ylabel="tokens / s", ylim=(0, None))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_comparison(figure: Figure, inputs: ReportInputs, metrics: Sequence[Metric]) -> None:
    """Bars of this model, the last blessed model and the baseline for each metric."""
    axis = figure.subplots()
    overall, last_blessed = inputs.evaluation[OVERALL], inputs.last_blessed.get(OVERALL, {})
    bars = {
        "this model": (BLUE, [overall[metric.name] for metric in metrics]),
        "last blessed": (GREEN, [last_blessed.get(metric.name, _NAN) for metric in metrics]),
        "baseline": (
            GREY,
            [overall.get(metric.baseline or "", _NAN) for metric in metrics],
        ),
    }
    bars = {name: bar for name, bar in bars.items() if not np.isnan(bar[1]).all()}
    width = 0.8 / len(bars)
    for index, (name, (color, values)) in enumerate(bars.items()):
        centres = np.arange(len(metrics)) + (index - (len(bars) - 1) / 2) * width
        container = axis.bar(centres, values, width * 0.92, color=color, label=name)
        axis.bar_label(container, [number(value) for value in values], padding=2)
    axis.set_xticks(range(len(metrics)), [title(metric.name) for metric in metrics])
    axis.margins(y=0.12)
    axis.grid(axis="x", visible=False)
    axis.set_title("Higher is better" if metrics[0].higher_is_better else "Lower is better")
    figure.legend(loc="outside lower center", ncols=len(bars))


def _draw_slices(
    figure: Figure, inputs: ReportInputs, slices: Sequence[str], metric: Metric
) -> None:
    axis = figure.subplots()
    rows = [inputs.evaluation[name] for name in slices]
    y = np.arange(len(slices))[::-1]
    values = [row.get(metric.name, _NAN) for row in rows]
    container = axis.barh(y, values, 0.7, color=BLUE, label="this model")
    axis.bar_label(container, [number(value) for value in values], padding=3)
    baseline = [row.get(metric.baseline or "", _NAN) for row in rows]
    axis.scatter(baseline, y, marker="|", s=120, color=ORANGE, lw=2.5, zorder=3)
    axis.scatter([], [], marker="|", s=120, color=ORANGE, lw=2.5, label="baseline")
    axis.set_yticks(y, slices)
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.12)
    axis.set_title(f"{title(metric.name)} by slice")
    figure.legend(loc="outside lower center", ncols=2)


def _draw_history(figure: Figure, history: Sequence[Version], metric: Metric) -> None:
    axis = figure.subplots()
    x = range(len(history))
    values = np.array([version.metrics.get(metric.name, _NAN) for version in history])
    baseline = [version.metrics.get(metric.baseline or "", _NAN) for version in history]
    axis.plot(x, values, color=BLUE, marker="o", label="model")
    not_blessed = [index for index in x if history[index].blessed is not True]
    ring: dict[str, Any] = {"s": 70, "color": "white", "edgecolor": ORANGE, "lw": 2}
    axis.scatter(not_blessed, values[not_blessed], zorder=3, **ring)
    if not_blessed:
        axis.scatter([], [], label="not blessed", **ring)
    axis.plot(x, baseline, color=GREY, ls="--", label="baseline")
    labelled = x[:: math.ceil(len(history) / _MAX_LABELS)]
    axis.set_xticks(labelled, [history[index].label for index in labelled])
    axis.set_title(title(metric.name))
    axis.margins(y=0.1)
    axis.set_ylim(bottom=0)
    axis.legend(loc="best")
