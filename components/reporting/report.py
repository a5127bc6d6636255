"""Writes self-contained HTML pages: a report of one run, and a comparison of several.

A report is a view, not a pipeline step: it is made of what ML Metadata and the run's files hold,
also after a failed run. A page needs no network and no script; charts are SVG inside the page.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from components.reporting import word_senses
from components.reporting.charts import report_charts
from components.reporting.inputs import ReportInputs
from components.reporting.render import render_comparison, render_report
from components.reporting.word_charts import gap_chart
from components.reporting.word_senses import LayerSimilarity
from components.storage.publish import write_whole


def write_report(inputs: ReportInputs, path: pathlib.Path | str) -> None:
    """Writes the page of one run, atomically.

    Args:
        inputs: the contents. For parts that are missing, the page says so.
        path: the `.html` file, which is replaced if it exists.
    """
    similarities = _similarities(inputs)
    _write(path, render_report(inputs, report_charts(inputs, similarities), similarities))


def write_comparison(models: Sequence[ReportInputs], path: pathlib.Path | str) -> None:
    """Writes a page with the metrics, predictions and word vectors of several models, atomically.

    Args:
        models: the contents for each model. For parts that are missing, the page says so.
        path: the `.html` file, which is replaced if it exists.
    """
    similarities = [_similarities(inputs) for inputs in models]
    by_name = {
        inputs.name: layers for inputs, layers in zip(models, similarities, strict=True) if layers
    }
    shown = [
        (inputs, report_charts(inputs, layers), layers)
        for inputs, layers in zip(models, similarities, strict=True)
    ]
    _write(path, render_comparison(shown, [gap_chart(by_name)] if by_name else []))


def _similarities(inputs: ReportInputs) -> list[LayerSimilarity]:
    return word_senses.similarities(inputs.word_vectors) if inputs.word_vectors else []


def _write(path: pathlib.Path | str, html: str) -> None:
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [html])
