"""The charts of each section, read from their SVG; whole pages are in report_test.py."""

from __future__ import annotations

import base64
import html
import re

import pytest
from markupsafe import Markup

from components.reporting.charts import report_charts
from components.reporting.inputs import ReportInputs, TrainingPoint, Version
from components.tuning.trials import Search, Trial
from models.metric import Metric


def images(charts: list[Markup]) -> dict[str, str]:
    """The SVG of each image by its description."""
    found = {}
    for chart in charts:
        match = re.fullmatch(
            r'<img alt="(.*)" src="data:image/svg\+xml;base64,(.*)">', str(chart), re.S
        )
        assert match
        found[html.unescape(match[1])] = base64.b64decode(match[2]).decode()
    return found


def test_a_run_that_did_nothing_has_no_chart() -> None:
    charts = report_charts(ReportInputs("demo", "r"), [])
    assert charts == {
        "corpus": [],
        "tuning": [],
        "training": [],
        "evaluation": [],
        "slices": [],
        "history": [],
        "word_senses": [],
    }


def test_the_loss_is_drawn_over_each_number_that_was_tuned() -> None:
    rate, size, kind = (f"training.{name}" for name in ("optimizer.rate", "batch_size", "kind"))
    tried = [(0.001, 8, 5.5), (0.1, 16, None), (0.002, 32, 5.25)]
    trials = [
        Trial(number, {rate: of, size: batch, kind: "lamb"}, loss, "" if loss else "it diverged")
        for number, (of, batch, loss) in enumerate(tried, start=1)
    ]
    search = Search("random", 20, (rate,), tuple(trials))
    found = images(report_charts(ReportInputs("demo", "r", search=search), [])["tuning"])
    assert list(found) == [
        "Held-out loss of the trials by rate",
        "Held-out loss of the trials by batch size",
    ]
    by_rate, by_size = found.values()
    for image in (by_rate, by_size):
        for text in ("trial", "failed", "best", "held-out loss, nats"):
            assert f">{text}</text>" in image
    for text in ("0.001", "0.01", "0.1"):  # a logarithmic scale, including the failed trial
        assert f">{text}</text>" in by_rate
    assert ">30</text>" in by_size


def loss_chart(**terms: float) -> str:
    points = [TrainingPoint(step, 3.0 / step, terms) for step in (1, 2)]
    charts = report_charts(ReportInputs("demo", "r", training=points), [])
    return images(charts["training"])["Training loss by step, from 3 to 1.5"]


def test_the_terms_of_the_loss_have_lines_if_there_are_several() -> None:
    one, other = {"next_sentence_nll_sum": 1.0}, {"masked_lm_nll_sum": 2.0}
    assert ">next sentence loss</text>" in loss_chart(**one, **other)
    assert ">next sentence loss</text>" not in loss_chart(**one)


@pytest.mark.parametrize(("blessed", "marked"), [(True, False), (False, True), (None, True)])
def test_runs_that_were_not_blessed_are_marked_in_the_history(
    blessed: bool | None, marked: bool
) -> None:
    metric = Metric("accuracy", "", "", baseline="unigram")
    values = {"accuracy": 0.5, "unigram": 0.25}
    inputs = ReportInputs(
        "demo",
        "r",
        metrics=[metric],
        evaluation={"overall": values},
        history=[Version("span 1", values, True), Version("span 2", values, blessed)],
    )
    (image,) = images(report_charts(inputs, [])["history"]).values()
    assert ">span 2</text>" in image
    assert (">not blessed</text>" in image) == marked
