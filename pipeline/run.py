"""One run of a pipeline: lock the folder, choose a span, execute the graph, summarize, report."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import pathlib
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence

from rich.text import Text

from components import beam_flags
from components.layout import CONFIG_FILE, EXPORTED
from components.readers.files import input_fingerprint, patterns_fingerprint
from components.readers.formats import check_formats
from components.storage.file_hashes import FileHashes
from components.storage.publish import write_whole
from models.errors import DataRefused, PolysemeError
from models.memory import fast_imports
from models.processor import choose_onednn
from pipeline.code_versions import code_versions, commit
from pipeline.config import PipelineConfig
from pipeline.layout import CHECKPOINTS, log_file, versions_folder
from pipeline.lock import locked
from pipeline.metadata.queries import SUCCEEDED, RunHistory
from pipeline.metadata.relocation import relocate
from pipeline.predict import SAVED_MODEL
from pipeline.provenance import Provenance, code_of_weights, files_fingerprint
from pipeline.span_history import (
    FAILED,
    NOT_BLESSED,
    PREPARED,
    PUSHED,
    REFUSED,
    ROLLED_BACK,
    Attempt,
    inputs_of,
    read_attempts,
    spans_to_skip,
    write_attempt,
)
from pipeline.spans import Span, available_spans, choose_span
from pipeline.steps import Until, steps_until
from pipeline.summary import Summary, summarize
from pipeline.terminal.console import quiet_libraries
from pipeline.terminal.failures import explain, one_line, unexpected_error, without_secrets
from pipeline.terminal.output import Console, counted

HASHES = "input_hashes.json"
"""File in a pipeline's folder: hashes of the input files that its runs have read."""

_PROGRESS_SECONDS = 5.0
_log = logging.getLogger(__name__)  # not below `polyseme`: shown in the log file only
_progress_log = logging.getLogger("polyseme.input")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        summary: what ML Metadata recorded; None if it cannot be read.
        error: why the run failed, for the reader; None if it did not fail.
        log: the log file, with the messages of libraries and all tracebacks.
        report: the report's file, None if there is no report.
        span: label of the span that was taken.
    """

    summary: Summary | None
    error: PolysemeError | None
    log: pathlib.Path
    report: pathlib.Path | None
    span: str = ""


def run_pipeline(
    config: PipelineConfig, requested_span: str, until: Until | None = None
) -> Outcome:
    """Runs the pipeline on one span; steps that earlier runs finished are taken from the cache.

    Args:
        config: the resolved configuration.
        requested_span: a span's label, `next` or `latest`; see pipeline/spans.py.
        until: where to stop early, before anything is trained; a later run takes the steps from the
            cache. None runs all steps.

    Raises:
        InUse: another process holds the lock of the folder. Nothing was read or computed.
        ConfigError: a file that the configuration names cannot be read.
        DataRefused: the span or its files do not exist, or a file cannot be read.
        NothingNew: `next` was requested, and no span is left for it.
    """
    choose_onednn("training")
    config.beam.check_environment()
    if not config.folder.exists():  # checked first, so that a mistyped input creates no folder
        pattern = config.ingestion.input
        choose_span(available_spans(pattern), pattern, requested_span, to_skip=())
    try:
        with locked(config.folder):
            return _run(config, requested_span, until)
    except OSError as error:
        error.filename = error.filename or str(config.folder)  # absent if the disk is full
        raise


def _run(config: PipelineConfig, requested_span: str, until: Until | None) -> Outcome:
    """`run_pipeline` in a locked folder."""
    folder = config.folder
    spans = available_spans(config.ingestion.input)
    to_skip = spans_to_skip(read_attempts(folder), spans, config)
    span = choose_span(spans, config.ingestion.input, requested_span, to_skip)
    attempt = Attempt(
        datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S.%f"),
        span.number,
        span.label,
        files=len(span.files),
        inputs=inputs_of(span, config),
        until=until or "",
    )
    moved = _prepare_folder(config, attempt)
    log = log_file(folder, attempt.run_id)
    secrets = beam_flags.variable_values(config.beam.flags)
    with quiet_libraries(log, secrets) as console:
        _announce(console, config, span, moved)
        code = code_versions(config.model.family)
        provenance = _provenance(config, span, attempt, code)
        error = _execute(config, provenance, span.files, code, attempt.run_id, console, until)
        error = error and without_secrets(error, secrets)  # before it is recorded
        summary, error = _record_end(folder, attempt, until, error)
        if summary is not None and summary.version:
            _remove_exported_checkpoints(folder, console)
        report = _report(config, summary, console) if summary is not None else None
    return Outcome(summary, error and without_secrets(error, secrets), log, report, span.label)


def _prepare_folder(config: PipelineConfig, attempt: Attempt) -> int:
    """Brings a pipeline's folder up to date for a run, and records that the run has started.

    Returns:
        How many artifacts were recorded with another path, see `relocate`.
    """
    folder = config.folder
    moved = relocate(folder)
    write_whole(str(folder / CONFIG_FILE), [config.to_json()])
    remove_partial_versions(versions_folder(folder))
    write_attempt(folder, attempt)
    log_file(folder, attempt.run_id).parent.mkdir(exist_ok=True)
    return moved


def _announce(console: Console, config: PipelineConfig, span: Span, moved: int) -> None:
    """Prints what is about to run, and what is skipped, was moved or has no effect."""
    files = counted(len(span.files), "file")
    what = f"  {config.recipe}, span {span.label} of {span.pattern}, {files}"
    console.print(Text.assemble((config.name, "bold"), what))
    if span.skipped:
        console.print(f"skipped files of other formats: {span.skipped}", style="yellow")
    if moved:
        paths = counted(moved, "path")
        console.print(f"the folder was moved: corrected {paths} in the metadata", style="dim")
    for line in config.without_effect():
        console.print(line, style="yellow")


def _record_end(
    folder: pathlib.Path, attempt: Attempt, until: Until | None, error: PolysemeError | None
) -> tuple[Summary | None, PolysemeError | None]:
    """Reads how a run ended, and records it for later runs.

    Returns:
        The summary, None if it cannot be read or recorded, and the run's error: the given one, or
        why the summary is missing.
    """
    summary = None
    try:
        summary = summarize(RunHistory(folder), attempt.run_id, until)
        write_attempt(folder, _ended(attempt, summary, error))
    except Exception as failure:  # most likely the disk is full
        _log.exception("the end of the run cannot be recorded")
        log = log_file(folder, attempt.run_id)
        return summary, error or explain(failure) or unexpected_error(failure, log)
    return summary, error


def remove_partial_versions(serving: pathlib.Path) -> None:
    """Removes versions that a killed Pusher did not finish: a server would try to load them."""
    for version in serving.glob("*"):
        if version.name.isdecimal() and not (version / SAVED_MODEL).exists():
            shutil.rmtree(version)


def remove_checkpoints(folder: pathlib.Path) -> None:
    """Removes the checkpoints of trainings whose models are exported; each has three models' size.

    Checkpoints of a training that was stopped are kept, even if other models have been pushed.
    """
    for exported in (folder / CHECKPOINTS).glob(f"*/{EXPORTED}"):
        shutil.rmtree(exported.parent)


def _ended(attempt: Attempt, summary: Summary, error: PolysemeError | None) -> Attempt:
    """The attempt with its end."""
    if error:
        return attempt.ended(REFUSED if isinstance(error, DataRefused) else FAILED, error.what)
    if not summary.complete:
        missing = [step.component for step in summary.steps if step.state not in SUCCEEDED]
        return attempt.ended(FAILED, f"these steps did not succeed: {', '.join(missing)}")
    if summary.until:
        return attempt.ended(PREPARED, f"stopped after {summary.until} as requested, not trained")
    if summary.version:
        return attempt.ended(PUSHED, version=summary.version)
    if summary.rolled_back:
        return attempt.ended(ROLLED_BACK, summary.reasons[0], version=summary.rolled_back)
    return attempt.ended(NOT_BLESSED, "; ".join(summary.reasons))


class _HashingProgress:
    """Logs now and then how many bytes of some files were hashed; called with each block's size."""

    def __init__(self, files: Sequence[str]) -> None:
        self._total = sum(os.path.getsize(file) for file in files if os.path.isfile(file))
        self._hashed = 0
        self._last_logged = time.monotonic()

    def __call__(self, size: int) -> None:
        self._hashed += size
        if time.monotonic() - self._last_logged > _PROGRESS_SECONDS:
            self._last_logged = time.monotonic()
            _progress_log.info(
                f"hashed {self._hashed / 1e9:,.1f} of {self._total / 1e9:,.1f} GB of the input",
                extra={"progress": (self._hashed, self._total)},
            )


def _provenance(
    config: PipelineConfig, span: Span, attempt: Attempt, code: Mapping[str, str]
) -> Provenance:
    """What the run's model will come from.

    Raises:
        DataRefused: a file of the span cannot be read; this is recorded, so that `next` skips it.
    """
    hashes = FileHashes(config.folder / HASHES)
    try:
        check_formats(span.files, config.ingestion.allow_unreadable)
        corpus = input_fingerprint(span.files, hashes, _HashingProgress(span.files))
    except DataRefused as refusal:
        write_attempt(config.folder, attempt.ended(REFUSED, refusal.what))
        raise
    vocabulary = config.vocabulary.file
    tokenizer = config.model.tokenizer
    files = tokenizer.vocabulary_files(pathlib.Path(vocabulary)) if vocabulary else ()
    return Provenance(
        name=config.name,
        recipe=config.recipe,
        span=span.number,
        label=span.label,
        pattern=span.pattern,
        corpus=corpus,
        config=config.fingerprint(),
        evaluation=patterns_fingerprint(config.cleaning.evaluation_texts, hashes),
        vocabulary=files_fingerprint(files),
        code=code_of_weights(code),
        start=config.training.start,
        window=config.training.window,
        commit=commit(),
    )


def _execute(
    config: PipelineConfig,
    provenance: Provenance,
    files: Sequence[str],
    code: Mapping[str, str],
    run_id: str,
    console: Console,
    until: Until | None,
) -> PolysemeError | None:
    """Executes the graph; returns the error that stopped it, None if it was not stopped."""
    try:
        console.print("loading TensorFlow, Beam and TFX", style="dim")
        with fast_imports():
            from components.serving.check import docker_available
            from pipeline.cache_keys import keys_by_content
            from pipeline.dag import create_pretraining_pipeline
            from pipeline.runners import run_locally

        docker = bool(config.serving_image) and docker_available()
        pipeline = create_pretraining_pipeline(config, provenance, files, code, docker=docker)
        with keys_by_content(code):
            run_locally(pipeline, run_id, steps_until(until))
    except Exception as error:
        _log.exception("the run failed")
        return explain(error) or unexpected_error(error, log_file(config.folder, run_id))
    return None


def _remove_exported_checkpoints(folder: pathlib.Path, console: Console) -> None:
    """`remove_checkpoints`, which does not fail the run: leftover checkpoints do no harm."""
    try:
        remove_checkpoints(folder)
    except Exception as failure:
        _log.exception("checkpoints were not removed")
        _warn(console, f"checkpoints were not removed: {one_line(failure)}")


def _report(config: PipelineConfig, summary: Summary, console: Console) -> pathlib.Path | None:
    """Writes the report; the run does not fail if it cannot be written."""
    try:
        from pipeline.reporting import report_run

        return report_run(config, RunHistory(config.folder), summary)
    except Exception as failure:
        _log.exception("the report was not written")
        command = (
            f"python -m pipeline report --name {config.name} --runs {shlex.quote(config.runs)}"
        )
        _warn(console, f"the report was not written: {one_line(failure)}; to write it: {command}")
        return None


def _warn(console: Console, line: str) -> None:
    console.print(Text(line, "yellow"), soft_wrap=True)
