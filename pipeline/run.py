"""One run of a pipeline, from the lock on its folder to the summary of how it ended."""

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
from models.memory import imports
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
    passed_over,
    read_attempts,
    write_attempt,
)
from pipeline.spans import Span, available_spans, choose_span
from pipeline.steps import Until, steps_until
from pipeline.summary import Summary, summarize
from pipeline.terminal.console import quiet_libraries
from pipeline.terminal.failures import explain, one_line, unexpected_error, without_secrets
from pipeline.terminal.output import Console

HASHES = "input_hashes.json"
"""In a pipeline's folder: what is known of the files that its runs read."""

_PROGRESS_SECONDS = 5.0
_log = logging.getLogger(__name__)  # not below `polyseme`: for the log file alone
_progress = logging.getLogger("polyseme.input")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        summary: what ML Metadata says, None if the run never came to write there.
        error: why it failed, in words for its reader; None if it didn't.
        log: the libraries' messages and every traceback.
        report: the report, None if there is none.
        span: the span that was taken, as people name it.
    """

    summary: Summary | None
    error: PolysemeError | None
    log: pathlib.Path
    report: pathlib.Path | None
    span: str = ""


def run_pipeline(config: PipelineConfig, wanted_span: str, until: Until | None = None) -> Outcome:
    """Runs the pipeline on one span; what earlier runs finished is taken from the cache.

    Args:
        config: the resolved configuration.
        wanted_span: a span's label, `next` or `latest`; see pipeline/spans.py.
        until: run no later steps; nothing is trained then. A later run takes the steps from the
            cache.

    Raises:
        InUse: another process is at work in the folder. Nothing has been read or computed then.
        ConfigError: a given file cannot be read.
        DataRefused: the span or its files do not exist, or a file cannot be read.
        NothingNew: `next` was wanted, and there is no span that it does not pass over.
    """
    choose_onednn("training")
    config.beam.check_environment()
    if not config.folder.exists():  # so that a mistyped input leaves no folder behind
        pattern = config.ingestion.input
        choose_span(available_spans(pattern), pattern, wanted_span, over=())
    try:
        with locked(config.folder):
            return _run(config, wanted_span, until)
    except OSError as error:
        error.filename = error.filename or str(config.folder)  # a full disk has no name by itself
        raise


def _run(config: PipelineConfig, wanted_span: str, until: Until | None) -> Outcome:
    """`run_pipeline`, in a folder that is locked."""
    folder = config.folder
    spans = available_spans(config.ingestion.input)
    over = passed_over(read_attempts(folder), spans, config)
    span = choose_span(spans, config.ingestion.input, wanted_span, over)
    run_id = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S.%f")
    attempt = Attempt(
        run_id,
        span.number,
        span.label,
        files=len(span.files),
        inputs=inputs_of(span, config),
        until=until or "",
    )
    moved = relocate(folder)
    write_whole(str(folder / CONFIG_FILE), [config.to_json()])
    remove_partial_versions(versions_folder(folder))
    write_attempt(folder, attempt)
    log = log_file(folder, run_id)
    log.parent.mkdir(exist_ok=True)
    secrets = beam_flags.variable_values(config.beam.flags)
    with quiet_libraries(log, secrets) as console:
        files = f"{len(span.files):,} file" + ("s" if len(span.files) > 1 else "")
        what = f"  {config.recipe}, span {span.label} of {span.pattern}, {files}"
        console.print(Text.assemble((config.name, "bold"), what))
        if span.skipped:
            console.print(f"skipped, as files of other formats: {span.skipped}", style="yellow")
        if moved:
            console.print(f"the folder was moved: {moved} records now say where it is", style="dim")
        for line in config.without_effect():
            console.print(line, style="yellow")
        code = code_versions(config.model.family)
        hashes = FileHashes(folder / HASHES)
        try:
            check_formats(span.files, config.ingestion.allow_unreadable)
            corpus = input_fingerprint(span.files, hashes, _ProgressOf(span.files))
        except DataRefused as refusal:  # by a file's first bytes; `next` is to know
            write_attempt(folder, attempt.ended(REFUSED, refusal.what))
            raise
        provenance = _provenance(config, span, corpus, code, hashes)
        error = _execute(config, provenance, span.files, code, run_id, console, until)
        error = error and without_secrets(error, secrets)
        summary, report = None, None
        try:
            history = RunHistory(folder)
            summary = summarize(history, run_id, until)
            write_attempt(folder, _ended(attempt, summary, error))
        except Exception as failure:  # a full disk, most likely; the first error counts
            _log.exception("the run's end cannot be told")
            error = error or without_secrets(
                explain(failure) or unexpected_error(failure, log), secrets
            )
        if summary is not None and summary.version:
            _tidy(folder, console)
        if summary is not None:
            report = _report(config, summary, console)
    return Outcome(summary, error, log, report, span.label)


def remove_partial_versions(serving: pathlib.Path) -> None:
    """Removes versions that a killed Pusher left half-copied: a server would try to load them."""
    for version in serving.glob("*"):
        if version.name.isdecimal() and not (version / SAVED_MODEL).exists():
            shutil.rmtree(version)


def remove_checkpoints(folder: pathlib.Path) -> None:
    """Removes the checkpoints of trainings whose models are exported; each is three models large.

    Those of a training that was stopped stay, whatever else has been pushed since.
    """
    for exported in (folder / CHECKPOINTS).glob(f"*/{EXPORTED}"):
        shutil.rmtree(exported.parent)


def _ended(attempt: Attempt, summary: Summary, error: PolysemeError | None) -> Attempt:
    """What came of the attempt."""
    if error:
        return attempt.ended(REFUSED if isinstance(error, DataRefused) else FAILED, error.what)
    if not summary.complete:
        missing = [step.component for step in summary.steps if step.state not in SUCCEEDED]
        return attempt.ended(FAILED, f"did not end well: {', '.join(missing)}")
    if summary.until:
        return attempt.ended(PREPARED, f"a run until {summary.until}, which trains nothing")
    if summary.version:
        return attempt.ended(PUSHED, version=summary.version)
    if summary.rolled_back:
        return attempt.ended(ROLLED_BACK, summary.reasons[0], version=summary.rolled_back)
    return attempt.ended(NOT_BLESSED, "; ".join(summary.reasons))


class _ProgressOf:
    """Says now and then how many bytes of some files were read; called with the size of each."""

    def __init__(self, files: Sequence[str]) -> None:
        self._all = sum(os.path.getsize(file) for file in files if os.path.isfile(file))
        self._done = 0
        self._last = time.monotonic()

    def __call__(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._last > _PROGRESS_SECONDS:
            self._last = time.monotonic()
            told = f"{self._done / 1e9:,.1f} of {self._all / 1e9:,.1f} GB of the input are hashed"
            _progress.info(told, extra={"progress": (self._done, self._all)})


def _provenance(
    config: PipelineConfig, span: Span, corpus: str, code: Mapping[str, str], hashes: FileHashes
) -> Provenance:
    given = config.vocabulary.file
    files = config.model.tokenizer.vocabulary_files(pathlib.Path(given)) if given else ()
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
    """Runs the graph; returns what stopped it."""
    try:
        console.print("loading TensorFlow, Beam and TFX", style="dim")
        with imports():
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


def _tidy(folder: pathlib.Path, console: Console) -> None:
    """Removes what a push makes needless; what is left does no harm, so no run fails for it."""
    try:
        remove_checkpoints(folder)
    except Exception as failure:
        _log.exception("checkpoints were not removed")
        _warn(console, f"checkpoints were not removed: {one_line(failure)}")


def _report(config: PipelineConfig, summary: Summary, console: Console) -> pathlib.Path | None:
    """Writes the report, a view of what the run left: no run fails because it cannot be written."""
    try:
        from pipeline.reporting import report_run

        return report_run(config, RunHistory(config.folder), summary)
    except Exception as failure:
        _log.exception("the report was not written")
        command = (
            f"python -m pipeline report --name {config.name} --runs {shlex.quote(config.runs)}"
        )
        _warn(console, f"no report was written: {one_line(failure)}; to write it: {command}")
        return None


def _warn(console: Console, line: str) -> None:
    console.print(Text(line, "yellow"), soft_wrap=True)
