"""Charts of an ambiguous word: maps of its vectors, and cosines between them by layer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from components.reporting.svg import GREY, INK, MARKS, svg_image
from components.reporting.word_senses import LayerSimilarity, WordVectors, principal_components


def word_charts(words: WordVectors, similarities: Sequence[LayerSimilarity]) -> list[Markup]:
    """Maps of the static and the contextual vectors on the same scale, and cosines by layer."""
    last = words.vectors.shape[1] - 1
    static, contextual = (principal_components(words.vectors[:, layer]) for layer in (0, last))
    limit = 1.25 * max(np.abs(static).max(), np.abs(contextual).max(), 1e-3)
    draw_static = partial(_draw_static, points=static, word=words.word, limit=limit)
    draw_contextual = partial(
        _draw_contextual, points=contextual, senses=words.senses, layer=last, limit=limit
    )
    return [
        svg_image(draw_static, f"Map with one point: the static vector of {words.word}", 4.6),
        svg_image(
            draw_contextual,
            f"Map of the vectors of {words.word} in {len(words.sentences)} sentences",
            4.6,
        ),
        svg_image(
            partial(_draw_similarities, similarities=similarities),
            "Mean cosine within and between the senses, by layer",
        ),
    ]


def _draw_static(figure: Figure, points: np.ndarray, word: str, limit: float) -> None:
    axis = figure.subplots()
    x, y = points.T
    axis.scatter(x, y, s=18, color=GREY, label="layer 0 in each sentence")
    axis.scatter(0, 0, marker="*", s=320, color=INK, zorder=3, label="mean")
    _set_map(axis, f"Static: one vector of “{word}” for all sentences", limit)


def _draw_contextual(
    figure: Figure, points: np.ndarray, senses: Sequence[str], layer: int, limit: float
) -> None:
    axis = figure.subplots()
    for sense, (color, mark) in zip(dict.fromkeys(senses), itertools.cycle(MARKS)):
        x, y = points[[index for index, name in enumerate(senses) if name == sense]].T
        axis.scatter(x, y, s=55, color=color, marker=mark, label=sense)
    for number, point in enumerate(points, start=1):
        axis.annotate(str(number), point, xytext=(5, 4), textcoords="offset points")
    _set_map(axis, f"In context: layer {layer}", limit)


def _draw_similarities(figure: Figure, similarities: Sequence[LayerSimilarity]) -> None:
    axis = figure.subplots()
    layers = [each.layer for each in similarities]
    for sense, (color, mark) in zip(similarities[0].within, itertools.cycle(MARKS)):
        values = [each.within[sense] for each in similarities]
        axis.plot(layers, values, color=color, marker=mark, label=f"within {sense}")
    between = [each.between for each in similarities]
    axis.plot(layers, between, color=INK, ls="--", marker="x", label="between senses")
    axis.set(title="Mean cosine by layer", xlabel="layer", ylabel="cosine")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()


def _set_map(axis: Axes, title: str, limit: float) -> None:
    axis.set(title=title, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axis.set(xlabel="first principal component", ylabel="second principal component")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def gap_chart(similarities: Mapping[str, Sequence[LayerSimilarity]]) -> Markup:
    """The gap between the senses of the ambiguous word, by layer, in several models."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for (name, layers), (color, mark) in zip(similarities.items(), itertools.cycle(MARKS)):
            values = [each.gap for each in layers]
            axis.plot([each.layer for each in layers], values, color=color, marker=mark, label=name)
        axis.set(title="Cosine within senses minus between senses", xlabel="layer", ylabel="gap")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.axhline(0, color=GREY, lw=0.8)
        axis.legend()

    return svg_image(draw, "Gap between the senses in each model, by layer")
