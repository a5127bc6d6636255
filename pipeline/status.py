"""`python -m pipeline status`: what goes on in a pipeline's folder, and what happened there last.

It takes no lock and imports no TensorFlow: a person or a monitor may ask at any time.
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
from pipeline.at_work import process_at_work
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.layout import log_file, versions_folder
from pipeline.metadata.queries import RunHistory
from pipeline.metadata.store import DATABASE
from pipeline.predict import newest_version
from pipeline.span_history import Attempt, passed_over, read_attempts
from pipeline.spans import NothingNew, available_spans, choose_span

_TAIL = 64_000
_PROGRESS = re.compile(r"^\S+ \S+ I polyseme[.\w]*: (.*)$", re.M)
_STEP = re.compile(r"^step (\d+)/(\d+)")
_KILLED = "killed"


@dataclasses.dataclass(frozen=True)
class Running:
    """What a process that holds the folder's lock does.

    Attributes:
        process: its number; 0 if it is one of another machine.
        run: the run; None if it is none, as of `prune`, or has only begun to read its input.
        span: the run's span.
        since: when the run began, as 2026-05-01T17:30:00+02:00.
        component: the step that is at work; None between two steps.
        step: the last training step that was told, of Trainer or a trial of Tuner.
        steps: how many there will be.
        progress: the last line that the run has said.
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
    """How the last run that is over has ended.

    Attributes:
        run: the run.
        span: its span.
        since: when it began.
        outcome: as `spans` has it, or "killed" if nobody wrote down its end.
        reason: why nothing was pushed, a line.
        version: the version that was pushed, empty if none was.
        until: where it was to end; empty of a run of the whole pipeline.
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
    """The state of a pipeline.

    Attributes:
        name: the pipeline.
        folder: its folder.
        running: what is at work, None if nothing is.
        last: the last run that is over, None if there was none.
        served: the version that a server loads, None if there is none.
        spans_left: how many spans wait for `next`; None of an input without {SPAN}.
        next: the span that `next` takes after the one that is at work.
    """

    name: str
    folder: str
    running: Running | None
    last: LastRun | None
    served: str | None
    spans_left: int | None
    next: str | None


def find_folder(runs: str, name: str | None) -> pathlib.Path:
    """`pipeline_folder`, and the folder of a first run that has only begun to read its input.

    Raises:
        ConfigError: no pipeline has run there.
    """
    try:
        return pipeline_folder(runs, name)
    except ConfigError:
        folder = pathlib.Path(runs).expanduser().absolute() / (name or "")
        if name and process_at_work(folder) is not None:
            return folder
        raise


def status_of(folder: pathlib.Path) -> Status:
    """The state of a pipeline, read without its lock."""
    process = process_at_work(folder)
    attempts = read_attempts(folder)
    current = None
    if process is not None and attempts and not attempts[-1].has_ended:
        current = attempts.pop()
    elif process is not None:  # `prune`, say, or a run that has just ended
        process = process_at_work(folder)
    left, following = _spans(folder, attempts, current)
    return Status(
        name=folder.name,
        folder=str(folder),
        running=None if process is None else _running(folder, process, current),
        last=_ended(attempts[-1]) if attempts else None,
        served=_served(folder),
        spans_left=left,
        next=following,
    )


def lines(status: Status) -> list[str]:
    """The state of a pipeline for a reader."""
    told = [f"{status.name}  {status.folder}"]
    now, last = status.running, status.last
    if now is None:
        told.append("nothing is running")
    elif now.run is None:
        told.append(f"process {now.process} is at work, in no step of a run")
    else:
        told.append(f"running  span {now.span}, since {now.since}, process {now.process}")
        if now.component:
            of = f", step {now.step} of {now.steps}" if now.step is not None else ""
            told.append(f"  {now.component}{of}")
        if now.progress:
            told.append(f"  {now.progress}")
        told.append(f"  {now.log}")
    if last:
        version = f", version {last.version}" if last.version else ""
        reason = f": {last.reason}" if last.reason else ""
        told.append(f"last run  span {last.span}, {last.since}: {last.outcome}{version}{reason}")
    told.append(f"served  version {status.served}" if status.served else "served  nothing yet")
    if status.spans_left is not None:
        following = f", next {status.next}" if status.next else ""
        told.append(f"spans left  {status.spans_left}{following}")
    return told


def _running(folder: pathlib.Path, process: int, attempt: Attempt | None) -> Running:
    if attempt is None:
        return Running(process)
    log = log_file(folder, attempt.run_id)
    said = _PROGRESS.findall(_end(log))
    progress = said[-1].strip() if said else None
    found = RunHistory(folder).nodes(attempt.run_id) if (folder / DATABASE).is_file() else {}
    at_work = [name for name, node in found.items() if node.state == "interrupted"]
    component = at_work[-1] if at_work else None
    trained = _STEP.match(progress or "") if component in ("Trainer", "Tuner") else None
    return Running(
        process=process,
        run=attempt.run_id,
        span=attempt.label,
        since=_begun(attempt.run_id),
        component=component,
        step=int(trained[1]) if trained else None,
        steps=int(trained[2]) if trained else None,
        progress=progress,
        log=str(log),
    )


def _ended(attempt: Attempt) -> LastRun:
    return LastRun(
        run=attempt.run_id,
        span=attempt.label,
        since=_begun(attempt.run_id),
        outcome=attempt.state if attempt.has_ended else _KILLED,
        reason=attempt.reason if attempt.has_ended else "its end was not written down",
        version=attempt.version,
        until=attempt.until,
    )


def _served(folder: pathlib.Path) -> str | None:
    try:
        return newest_version(versions_folder(folder)).name
    except ConfigError:
        return None


def _spans(
    folder: pathlib.Path, attempts: list[Attempt], current: Attempt | None
) -> tuple[int | None, str | None]:
    """How many spans are left without the one that is at work, and which is next."""
    if not (folder / CONFIG_FILE).is_file():
        return None, None
    config = PipelineConfig.read(folder)
    pattern = config.ingestion.input
    if PLACEHOLDER not in pattern:
        return None, None
    spans = available_spans(pattern)
    over = passed_over(attempts, spans, config) | ({current.number} if current else set())
    left = [span for span in spans if span.number not in over]
    try:
        return len(left), choose_span(spans, pattern, "next", over).label
    except (DataRefused, NothingNew):
        return len(left), None


def _end(log: pathlib.Path) -> str:
    """The end of a log file, empty if it cannot be read."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _begun(run_id: str) -> str:
    """A run's beginning out of its id, the id itself if it holds none."""
    try:
        begun = datetime.datetime.strptime(run_id, "%Y%m%d-%H%M%S.%f").astimezone()
    except ValueError:
        return run_id
    return begun.isoformat(timespec="seconds")
