"""Charts of an ambiguous word, read from their SVG."""

from __future__ import annotations

import base64
import re

import numpy as np
from markupsafe import Markup

from components.reporting.word_charts import gap_chart, word_charts
from components.reporting.word_senses import LayerSimilarity, WordVectors, similarities

WORDS = WordVectors(
    "bank",
    ["river", "money", "river", "money"],
    ["a bank"] * 4,
    [("bank",)] * 4,
    np.random.default_rng(0).normal(size=(4, 3, 8)),
)


def decoded(image: Markup) -> str:
    return base64.b64decode(str(image).split("base64,")[1].removesuffix('">')).decode()


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<]*)</text>", svg)


def test_both_maps_have_the_same_scale_and_every_sentence_a_number() -> None:
    static, contextual, _ = (
        texts(decoded(each)) for each in word_charts(WORDS, similarities(WORDS))
    )
    assert "Static: one vector of “bank” for all sentences" in static
    assert {"In context: layer 2", "1", "2", "3", "4", "river", "money"} <= set(contextual)
    ticks = [
        [text for text in each if re.fullmatch(r"−?\d\.\d+", text)] for each in (static, contextual)
    ]
    assert len(ticks[0]) > 2
    assert ticks[0] == ticks[1]


def test_cosines_are_drawn_for_each_sense_and_between_them() -> None:
    *_, by_layer = word_charts(WORDS, similarities(WORDS))
    assert {"within river", "within money", "between senses"} <= set(texts(decoded(by_layer)))


def test_each_model_has_a_line_in_the_chart_of_gaps() -> None:
    layers = [LayerSimilarity(layer, {"river": 0.5}, 0.25, 0.25, 0.5) for layer in (0, 1)]
    chart = gap_chart({"bert_demo": layers, "gpt_demo": layers})
    assert {"bert_demo", "gpt_demo", "gap"} <= set(texts(decoded(chart)))
