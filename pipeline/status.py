"""The status of a pipeline: the current run, the last run, the served version, the next span.

It takes no lock and imports no TensorFlow, so a person or a monitor may ask for it at any time.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import re

from components.layout import CONFIG_FILE
from components.readers.files import PLACEHOLDER
from models.errors import ConfigError, DataRefused
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.layout import log_file, versions_folder
from pipeline.lock_holder import lock_holder
from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE
from pipeline.predict import newest_version
from pipeline.span_history import Attempt, read_attempts, spans_to_skip
from pipeline.spans import NothingNew, available_spans, choose_span

_TAIL_BYTES = 64_000
_PROGRESS_LINE = re.compile(r"^\S+ \S+ I polyseme[.\w]*: (.*)$", re.M)
_STEP = re.compile(r"^step (\d+)/(\d+)")
_KILLED = "killed"


@dataclasses.dataclass(frozen=True)
class Running:
    """What the process that holds the folder's lock is doing.

    Attributes:
        process: its id; 0 if it runs on another machine.
        run: the run; None if it is another command, such as `prune`, or a run that is still reading
            its input.
        span: label of the run's span.
        since: start of the run, as 2026-05-01T17:30:00+02:00.
        component: the step that is running; None between two steps.
        step: the last training step that was logged, of Trainer or a trial of Tuner.
        steps: the number of training steps.
        progress: the last progress line of the run.
        log: its log file.
    """

    process: int
    run: str | None = None
    span: str | None = None
    since: str | None = None
    component: str | None = None
    step: int | None = None
    steps: int | None = None
    progress: str | None = None
    log: str | None = None


@dataclasses.dataclass(frozen=True)
class LastRun:
    """How the last run that is not running any more ended.

    Attributes:
        run: the run.
        span: label of its span.
        since: its start.
        outcome: the state of its attempt, see pipeline/span_history.py, or "killed" if its end was
            not recorded.
        reason: why nothing was pushed, one line.
        version: the version that was pushed, empty if there is none.
        until: where it was to stop early; empty for a complete run.
    """

    run: str
    span: str
    since: str
    outcome: str
    reason: str
    version: str
    until: str


@dataclasses.dataclass(frozen=True)
class Status:
    """The status of a pipeline.

    Attributes:
        name: the pipeline.
        folder: its folder.
        running: what is running, None if nothing is.
        last: the last run that is not running any more, None if there is none.
        served: the version that a server loads, None if there is none.
        spans_left: number of spans that are left for `next`, without a running one; None if the
            input has no {SPAN}.
        next: label of the span that `next` takes, None if no span is left.
    """

    name: str
    folder: str
    running: Running | None
    last: LastRun | None
    served: str | None
    spans_left: int | None
    next: str | None


def find_folder(runs: str, name: str | None) -> pathlib.Path:
    """`pipeline_folder`, or the folder of a first run that is still reading its input.

    Raises:
        ConfigError: no pipeline has run there.
    """
    try:
        return pipeline_folder(runs, name)
    except ConfigError:
        folder = pathlib.Path(runs).expanduser().absolute() / (name or "")
        if name and lock_holder(folder) is not None:
            return folder
        raise


def status_of(folder: pathlib.Path) -> Status:
    """The status of the pipeline in a folder; this takes no lock."""
    process = lock_holder(folder)
    attempts = read_attempts(folder)
    current = None
    if process is not None and attempts and not attempts[-1].has_ended:
        current = attempts.pop()
    elif process is not None:  # another command, or a run that has ended since the first query
        process = lock_holder(folder)
    left, following = _spans_left(folder, attempts, current)
    return Status(
        name=folder.name,
        folder=str(folder),
        running=None if process is None else _running(folder, process, current),
        last=_last_run(attempts[-1]) if attempts else None,
        served=_served_version(folder),
        spans_left=left,
        next=following,
    )


def lines(status: Status) -> list[str]:
    """The status for a reader."""
    text = [f"{status.name}  {status.folder}", *_lines_about(status.running)]
    last = status.last
    if last:
        version = f", version {last.version}" if last.version else ""
        reason = f": {last.reason}" if last.reason else ""
        text.append(
            f"last run     span {last.span}, started {last.since}: {last.outcome}{version}{reason}"
        )
    text.append(f"served       {f'version {status.served}' if status.served else 'nothing yet'}")
    if status.spans_left is not None:
        following = f", next {status.next}" if status.next else ""
        text.append(f"spans left   {status.spans_left}{following}")
    return text


def _lines_about(running: Running | None) -> list[str]:
    if running is None:
        return ["nothing is running"]
    if running.run is None:
        return [
            f"process {running.process} holds the lock: prune, rollback, or a run that is still"
            " reading its input"
        ]
    text = [f"running      span {running.span}, since {running.since}, process {running.process}"]
    if running.component:
        step = f", step {running.step} of {running.steps}" if running.step is not None else ""
        text.append(f"  {running.component}{step}")
    if running.progress:
        text.append(f"  {running.progress}")
    text.append(f"  log: {running.log}")
    return text


def _running(folder: pathlib.Path, process: int, attempt: Attempt | None) -> Running:
    if attempt is None:
        return Running(process)
    log = log_file(folder, attempt.run_id)
    progress_lines = _PROGRESS_LINE.findall(_tail(log))
    progress = progress_lines[-1].strip() if progress_lines else None
    nodes = RunHistory(folder).nodes(attempt.run_id) if (folder / DATABASE).is_file() else {}
    unfinished = [name for name, node in nodes.items() if node.state == "interrupted"]
    component = unfinished[-1] if unfinished else None
    step = _STEP.match(progress or "") if component in ("Trainer", "Tuner") else None
    return Running(
        process=process,
        run=attempt.run_id,
        span=attempt.label,
        since=_start_time(attempt.run_id),
        component=component,
        step=int(step[1]) if step else None,
        steps=int(step[2]) if step else None,
        progress=progress,
        log=str(log),
    )


def _last_run(attempt: Attempt) -> LastRun:
    return LastRun(
        run=attempt.run_id,
        span=attempt.label,
        since=_start_time(attempt.run_id),
        outcome=attempt.state if attempt.has_ended else _KILLED,
        reason=attempt.reason if attempt.has_ended else "its end was not recorded",
        version=attempt.version,
        until=attempt.until,
    )


def _served_version(folder: pathlib.Path) -> str | None:
    try:
        return newest_version(versions_folder(folder)).name
    except ConfigError:
        return None


def _spans_left(
    folder: pathlib.Path, attempts: list[Attempt], current: Attempt | None
) -> tuple[int | None, str | None]:
    """How many spans are left, without the running one, and the label of the next."""
    if not (folder / CONFIG_FILE).is_file():
        return None, None
    config = PipelineConfig.read(folder)
    pattern = config.ingestion.input
    if PLACEHOLDER not in pattern:
        return None, None
    spans = available_spans(pattern)
    to_skip = spans_to_skip(attempts, spans, config) | ({current.number} if current else set())
    left = [span for span in spans if span.number not in to_skip]
    try:
        return len(left), choose_span(spans, pattern, "next", to_skip).label
    except (DataRefused, NothingNew):
        return len(left), None


def _tail(log: pathlib.Path) -> str:
    """The end of a log file, empty if it cannot be read."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _start_time(run_id: str) -> str:
    """The start of a run, which is in its id; the id itself if it has another form."""
    try:
        start = datetime.datetime.strptime(run_id, "%Y%m%d-%H%M%S.%f").astimezone()
    except ValueError:
        return run_id
    return start.isoformat(timespec="seconds")
