"""Whole pages: self-contained, complete, the same bytes for the same inputs."""

import base64
import html.parser
import re
import subprocess
import sys

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure

from components.reporting import charts, word_charts
from components.reporting.inputs import (
    Dropped,
    ReportInputs,
    StepState,
    TrainingPoint,
    Version,
)
from components.reporting.predictions import Prediction
from components.reporting.report import write_comparison, write_report
from components.reporting.word_senses import WordVectors
from components.validation.corpus_statistics import SplitStatistics
from models.metric import Metric

VALUES = {
    "masked_lm_accuracy": 0.1875,
    "masked_lm_perplexity": 164.25,
    "unigram_accuracy": 0.0713,
    "unigram_perplexity": 445.0,
}


def _inputs(**changes):
    split = SplitStatistics(
        documents=200,
        characters=9_642_200,
        median_characters=41_023.0,
        min_characters=3012,
        max_characters=180_034,
        length_edges=(3012.0, 50_000.0, 180_034.0),
        length_counts=(150.0, 50.0),
        mean_non_letter_share=0.2,
        max_non_letter_share=0.4,
        max_replacement_share=0.0,
        duplicate_share=0.005,
        languages={"en": 0.75, "zh": 0.25},
        sources={"price in $ or $$": 1.0},
    )
    senses = ["river", "money", "river", "money"]
    parts = {
        "name": "demo",
        "recipe": "bert_demo",
        "span": "2",
        "fingerprint": "9f8a",
        "code_version": "ad26884",
        "version": "1785412345",
        "blessed": True,
        "steps": [StepState("Trainer", "done", 320.5), StepState("Pusher", "cached", None)],
        "corpus": {"train": split, "test": split},
        "quarantined": {"not UTF-8": 3},
        "dropped": [Dropped("near duplicate", 2, (("d7", "of d3", "It was a dark night"),))],
        "training": [
            TrainingPoint(20, 9.5, {"masked_lm_nll_sum": 8.8, "next_sentence_nll_sum": 0.7}, 1e-4),
            TrainingPoint(40, 5.25, {"masked_lm_nll_sum": 4.6, "next_sentence_nll_sum": 0.65}),
        ],
        "metrics": [
            Metric("masked_lm_accuracy", "", "", lower_bound=0.1, baseline="unigram_accuracy"),
            Metric(
                "masked_lm_perplexity",
                "",
                "",
                exponentiate=True,
                higher_is_better=False,
                baseline="unigram_perplexity",
            ),
            Metric("unigram_accuracy", "", ""),
            Metric("unigram_perplexity", "", ""),
        ],
        "evaluation": {"overall": VALUES, "source=中文": VALUES, "length=001-064": VALUES},
        "last_blessed": {"overall": VALUES | {"masked_lm_accuracy": 0.1625}},
        "history": [
            Version("span 1", VALUES, True),
            Version("span 2, worse", {}, False),
            Version("span 2", VALUES, True),
        ],
        "predictions": [Prediction("fill_mask", ("A [MASK].",), (("nation", 0.375),))],
        "word_vectors": WordVectors(
            "bank",
            senses,
            [f"Sentence {i} of the bank." for i in range(4)],
            [("bank",)] * 4,
            np.random.default_rng(0).normal(size=(4, 3, 8)),
        ),
    }
    return ReportInputs(**(parts | changes))


class _Tags(html.parser.HTMLParser):
    """The tags of a page with their attributes; checks that tags are closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def images(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    write_report(_inputs(), path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_and_self_contained(page):
    parsed = _Tags(page)
    assert parsed.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "iframe", "object", "embed"}
    for tag, attributes in parsed.tags:
        assert "href" not in attributes, tag
        assert attributes.get("src", "data:").startswith("data:")
    sources = re.findall(r"src=.", page)
    assert len(sources) == len(parsed.images())


def test_every_image_has_a_description(page):
    texts = [image["alt"] for image in _Tags(page).images()]
    assert texts == [
        "Bar chart of masked-LM accuracy, with the baselines",
        "Bar chart of masked-LM perplexity, with the baselines",
        "Bar chart of masked-LM accuracy by slice, with the baseline",
        "masked-LM accuracy over the runs",
        "Map with one point: the static vector of bank",
        "Map of the vectors of bank in 4 sentences",
        "Mean cosine within and between the senses, by layer",
        "Training loss by step, from 9.5 to 5.25",
        "Learning rate and tokens per second, by step",
        "Histogram of document lengths in characters, by split",
    ]


def _svg(page, words):
    (source,) = [i["src"] for i in _Tags(page).images() if i["alt"].startswith(words)]
    return base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()


def test_images_show_the_metrics(page):
    bars = _svg(page, "Bar chart of masked-LM accuracy, with")
    for text in ("0.188", "0.163", "0.071", "this model", "last blessed", "baseline"):
        assert f">{text}</text>" in bars
    assert ">source=中文</text>" in _svg(page, "Bar chart of masked-LM accuracy by slice")
    assert ">span 2, worse</text>" in _svg(page, "masked-LM accuracy over")
    assert ">next sentence loss</text>" in _svg(page, "Training loss")
    assert ">In context: layer 2</text>" in _svg(page, "Map of the vectors")


def test_the_page_shows_its_inputs(page):
    text = _Tags(page).text
    for expected in (
        "demo, span 2",
        "Blessed",
        "bert_demo",
        "1785412345",
        "9,642,200",
        "25.0 %",
        "price in $ or $$",
        "not UTF-8",
        "near duplicate",
        "d7: of d3 It was a dark night",
        "nation",
        "0.38",
        "320.5",
        "cached",
        "Sentence 3 of the bank.",
        "40 steps. At the last of them: loss 5.25, masked-LM loss 4.60, next sentence loss",
    ):
        assert expected in text


def test_same_inputs_give_the_same_bytes(page, tmp_path):
    write_report(_inputs(), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("missing", "num_images"),
    [
        ({"last_blessed": {}}, 10),
        ({"metrics": ()}, 6),
        ({"evaluation": {}, "blessed": None}, 6),
        ({"history": ()}, 9),
        ({"word_vectors": None}, 7),
        ({"training": ()}, 8),
        ({"corpus": {}}, 9),
    ],
)
def test_parts_may_be_missing(tmp_path, missing, num_images, monkeypatch):
    def draw_only(draw, alt, height=1.0):  # writing the SVG takes most of a report's time
        draw(Figure())
        return Markup('<img alt="{}">').format(alt)

    monkeypatch.setattr(charts, "svg_image", draw_only)
    monkeypatch.setattr(word_charts, "svg_image", draw_only)
    write_report(_inputs(**missing), tmp_path / "report.html")
    parsed = _Tags((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(parsed.images()) == num_images
    assert parsed.open == []


def test_failed_run(tmp_path):
    steps = [StepState("TextExampleGen", "failed", 1.5)]
    inputs = ReportInputs("demo", "bert_tiny", 1, steps=steps, reasons=["a line <cut> short"])
    write_report(inputs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Failed in TextExampleGen" in page
    assert "a line &lt;cut&gt; short" in page
    assert "<img" not in page


def test_a_training_log_with_a_nan_loss_can_be_shown(tmp_path):
    points = [TrainingPoint(1, 3.0), TrainingPoint(2, float("nan"))]
    write_report(ReportInputs("demo", "r", training=points), tmp_path / "report.html")
    assert "loss –" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_old_report_is_replaced(tmp_path):
    (tmp_path / "report.html").write_text("old")
    write_report(ReportInputs("demo", "bert_tiny"), tmp_path / "report.html")
    assert "<h1>demo</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_needs_neither_tensorflow_nor_tfx():
    code = (
        "import components.reporting.report, sys;"
        "print([m for m in ('tensorflow', 'tfx', 'apache_beam') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_models_side_by_side(tmp_path):
    gpt = {
        "name": "gpt_demo",
        "family": "gpt",
        "predictions": [Prediction("generate", ("We",), (("We the people", float("nan")),))],
    }
    write_comparison([_inputs(family="bert"), _inputs(**gpt)], tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    parsed = _Tags(page)
    assert parsed.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    for text in (
        "demo, span 2, gpt_demo, span 2",
        "Metrics of gpt_demo, span 2",
        "nation",
        "We the people",
        "One word, two meanings: demo, span 2",
    ):
        assert text in parsed.text, text
    assert "nan" not in parsed.text
    alts = [image["alt"] for image in parsed.images()]
    assert alts.count("Gap between the senses in each model, by layer") == 1
    assert alts.count("Mean cosine within and between the senses, by layer") == 2


def test_a_comparison_may_include_models_that_were_never_trained(tmp_path):
    empty = ReportInputs("elmo_demo", "elmo_tiny", family="elmo")
    write_comparison([empty, empty], tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert page.count("Not evaluated") == 2
    assert "<img" not in page
