"""Writes the report of a run and the comparison of several pipelines as HTML pages."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from components.reporting.report import write_comparison, write_report
from models.errors import ConfigError
from pipeline.at_work import process_at_work
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory
from pipeline.report_inputs import gather
from pipeline.span_history import read_attempts
from pipeline.summary import Summary, summarize

REPORT = "report.html"
COMPARISON = "comparison.html"
REPORT_AT_WORK, COMPARISON_AT_WORK = "report.running.html", "comparison.running.html"
"""Pages about a run that has not ended; they do not replace the page about an earlier run."""


def report_run(
    config: PipelineConfig, history: RunHistory, summary: Summary, *, at_work: bool = False
) -> pathlib.Path:
    """Writes a page about one run, and the runs before it, into the pipeline's folder.

    Args:
        config: the pipeline's configuration.
        history: the pipeline's runs.
        summary: the run.
        at_work: whether the run is still going; the page then says so and is a separate file.

    Returns:
        The page's file.
    """
    path = history.folder / (REPORT_AT_WORK if at_work else REPORT)
    write_report(gather(config, history, summary, at_work=at_work), path)
    if not at_work:
        (history.folder / REPORT_AT_WORK).unlink(missing_ok=True)
    return path


def compare_runs(folders: Sequence[pathlib.Path]) -> pathlib.Path:
    """Writes a page that compares the last runs of several pipelines, next to their folders.

    Args:
        folders: the pipelines' folders.

    Returns:
        `comparison.html`, or `comparison.running.html` if one of the runs is still going.

    Raises:
        ConfigError: a pipeline has no run.
    """
    inputs, any_at_work = [], False
    for folder in folders:
        config, history, summary, at_work = last_run(folder)
        inputs.append(gather(config, history, summary, at_work=at_work))
        any_at_work |= at_work
    path = folders[0].parent / (COMPARISON_AT_WORK if any_at_work else COMPARISON)
    write_comparison(inputs, path)
    return path


def last_run(folder: pathlib.Path) -> tuple[PipelineConfig, RunHistory, Summary, bool]:
    """Reads the last run of a pipeline.

    Args:
        folder: the pipeline's folder.

    Returns:
        The configuration, all runs, the summary of the last run, and whether it is still going.

    Raises:
        ConfigError: the pipeline has no run.
    """
    # Asked first, so that a run that ends after this line counts as still going.
    process = process_at_work(folder)
    history = RunHistory(folder)
    run_ids = history.run_ids()
    open_attempts = [attempt.run_id for attempt in read_attempts(folder) if not attempt.has_ended]
    at_work = (
        process is not None
        and bool(open_attempts)
        and open_attempts[-1] >= max(run_ids, default="")
    )
    if not run_ids and not at_work:
        raise ConfigError(
            "the pipeline has no run yet",
            where=str(folder),
            remedy="start one: python -m pipeline run RECIPE",
        )
    config = PipelineConfig.read(folder)
    run_id = open_attempts[-1] if at_work else run_ids[-1]
    return config, history, summarize(history, run_id), at_work
