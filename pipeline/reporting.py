"""Writes the report of a run and the comparison of several pipelines as HTML pages."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from components.reporting.report import write_comparison, write_report
from models.errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.lock_holder import lock_holder
from pipeline.metadata.queries import RunHistory
from pipeline.report_inputs import gather
from pipeline.span_history import read_attempts
from pipeline.summary import Summary, summarize

REPORT = "report.html"
COMPARISON = "comparison.html"
RUNNING_REPORT, RUNNING_COMPARISON = "report.running.html", "comparison.running.html"
"""Pages about a run that has not ended; they do not replace the page about an earlier run."""


def report_run(
    config: PipelineConfig, history: RunHistory, summary: Summary, *, is_running: bool = False
) -> pathlib.Path:
    """Writes a page about one run, and the runs before it, into the pipeline's folder.

    Args:
        config: the pipeline's configuration.
        history: the pipeline's runs.
        summary: the run.
        is_running: whether the run is still running; the page then says so and is a separate file.

    Returns:
        The page's file.
    """
    path = history.folder / (RUNNING_REPORT if is_running else REPORT)
    write_report(gather(config, history, summary, is_running=is_running), path)
    if not is_running:
        (history.folder / RUNNING_REPORT).unlink(missing_ok=True)
    return path


def compare_runs(folders: Sequence[pathlib.Path]) -> pathlib.Path:
    """Writes a page that compares the last runs of several pipelines, next to their folders.

    Args:
        folders: the pipelines' folders.

    Returns:
        `comparison.html`, or `comparison.running.html` if one of the runs is still running.

    Raises:
        ConfigError: a pipeline has no run.
    """
    inputs, any_running = [], False
    for folder in folders:
        config, history, summary, is_running = last_run(folder)
        inputs.append(gather(config, history, summary, is_running=is_running))
        any_running |= is_running
    path = folders[0].parent / (RUNNING_COMPARISON if any_running else COMPARISON)
    write_comparison(inputs, path)
    return path


def last_run(folder: pathlib.Path) -> tuple[PipelineConfig, RunHistory, Summary, bool]:
    """Reads the last run of a pipeline.

    Args:
        folder: the pipeline's folder.

    Returns:
        The configuration, all runs, the summary of the last run, and whether it is still running.

    Raises:
        ConfigError: the pipeline has no run.
    """
    # Queried first, so that a run that ends after this line counts as still running.
    process = lock_holder(folder)
    history = RunHistory(folder)
    run_ids = history.run_ids()
    open_attempts = [attempt.run_id for attempt in read_attempts(folder) if not attempt.has_ended]
    is_running = (
        process is not None
        and bool(open_attempts)
        and open_attempts[-1] >= max(run_ids, default="")
    )
    if not run_ids and not is_running:
        raise ConfigError(
            "the pipeline has no run yet",
            where=str(folder),
            remedy="start one: python -m pipeline run RECIPE",
        )
    config = PipelineConfig.read(folder)
    run_id = open_attempts[-1] if is_running else run_ids[-1]
    return config, history, summarize(history, run_id), is_running
