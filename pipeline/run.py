"""One run of a pipeline, from the lock on its folder to the summary of how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from components import beam_flags
from components.finished import EXPORTED
from components.input_files import input_fingerprint, patterns_fingerprint
from models.errors import ConfigError, DataRefused, PolysemeError
from models.memory import imports
from models.processor import choose_onednn
from pipeline.code_versions import code_versions, commit
from pipeline.config import PipelineConfig
from pipeline.console import quiet_libraries
from pipeline.failures import explain, without_secrets
from pipeline.metadata import SUCCEEDED, RunHistory, relocate
from pipeline.predict import SAVED_MODEL
from pipeline.provenance import Provenance, code_of_weights, files_fingerprint
from pipeline.span_history import (
    FAILED,
    NOT_BLESSED,
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
from pipeline.summary import Summary, summarize
from pipeline.terminal import Console

_log = logging.getLogger(__name__)  # not below `polyseme`: for the log file alone


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        summary: what ML Metadata says, None if the run never came to write there.
        error: why it failed, in words for its reader; None if it didn't.
        log: the libraries' messages and every traceback.
        report: the report, None if there is none.
    """

    summary: Summary | None
    error: PolysemeError | None
    log: pathlib.Path
    report: pathlib.Path | None


def run_pipeline(config: PipelineConfig, wanted_span: str) -> Outcome:
    """Runs the pipeline on one span; what earlier runs finished is taken from the cache.

    Args:
        config: the resolved configuration.
        wanted_span: a span's label, `next` or `latest`; see pipeline/spans.py.

    Raises:
        ConfigError: the folder is in use, or a given file cannot be read.
        DataRefused: the span or its files do not exist, or a file cannot be read.
        NothingNew: `next` was wanted, and there is no span that it does not pass over.
    """
    choose_onednn("training")
    config.beam.check_environment()
    folder = config.folder
    spans = available_spans(config.ingestion.input)
    over = passed_over(read_attempts(folder), spans, config)
    span = choose_span(spans, config.ingestion.input, wanted_span, over)
    run_id = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S.%f")
    attempt = Attempt(
        run_id, span.number, span.label, files=len(span.files), inputs=inputs_of(span, config)
    )
    try:
        corpus = input_fingerprint(span.files)
    except DataRefused as refusal:  # by a file's first bytes; `next` is to know
        with locked(folder):
            _write(folder / "config.json", config.to_json())
            write_attempt(folder, attempt.ended(REFUSED, refusal.what))
        raise
    code = code_versions(config.model.family)
    provenance = _provenance(config, span, corpus, code)
    with locked(folder):
        moved = relocate(folder)
        _write(folder / "config.json", config.to_json())
        remove_partial_versions(folder / "serving" / config.name)
        write_attempt(folder, attempt)
        log = folder / "logs" / f"{run_id}.log"
        log.parent.mkdir(exist_ok=True)
        secrets = beam_flags.values(config.beam.flags)
        with quiet_libraries(log, secrets) as console:
            what = (
                f"  {config.recipe}, span {span.label} of {span.pattern}, {len(span.files):,} file"
                + ("s" if len(span.files) > 1 else "")
            )
            console.print(Text.assemble((config.name, "bold"), what))
            if moved:
                console.print(
                    f"the folder was moved: {moved} records now say where it is", style="dim"
                )
            for line in config.without_effect():
                console.print(line, style="yellow")
            error = _execute(config, provenance, span.files, code, run_id, console)
            error = error and without_secrets(error, secrets)
            summary, report = None, None
            try:
                history = RunHistory(folder)
                summary = summarize(history, run_id)
                write_attempt(folder, _ended(attempt, summary, error))
                if summary.version:
                    remove_checkpoints(folder)
                report = _report(config, history, summary)
            except Exception as failure:  # a full disk, most likely; the first error counts
                _log.exception("the run's end cannot be told")
                error = error or without_secrets(
                    explain(failure) or _unforeseen(failure, log), secrets
                )
        return Outcome(summary, error, log, report)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other runs out of a pipeline's folder; the lock ends with the process, however it ends.

    Raises:
        ConfigError: another process is at work there, named by its number, or the folder cannot
            be written.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise explain(error) or ConfigError(
            f"the folder cannot be written: {error.strerror}",
            where=str(folder),
            remedy="choose another one with --runs",
        ) from error
    with file:
        try:
            # POSIX locks belong to the process: a worker it forked cannot keep the folder locked.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ConfigError(
                f"the folder is already in use by process {file.read().strip() or 'unknown'}",
                where=str(folder),
                remedy="wait for its end, or choose another --name or --runs",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def remove_partial_versions(serving: pathlib.Path) -> None:
    """Removes versions that a killed Pusher left half-copied: a server would try to load them."""
    for version in serving.glob("*"):
        if version.name.isdecimal() and not (version / SAVED_MODEL).exists():
            shutil.rmtree(version)


def remove_checkpoints(folder: pathlib.Path) -> None:
    """Removes the checkpoints of trainings whose models are exported; each is three models large.

    Those of a training that was stopped stay, whatever else has been pushed since.
    """
    for exported in (folder / "checkpoints").glob(f"*/{EXPORTED}"):
        shutil.rmtree(exported.parent)


def _ended(attempt: Attempt, summary: Summary, error: PolysemeError | None) -> Attempt:
    """What came of the attempt."""
    if error:
        return attempt.ended(REFUSED if isinstance(error, DataRefused) else FAILED, error.what)
    if not summary.complete:
        missing = [step.component for step in summary.steps if step.state not in SUCCEEDED]
        return attempt.ended(FAILED, f"did not end well: {', '.join(missing)}")
    if summary.version:
        return attempt.ended(PUSHED, version=summary.version)
    if summary.rolled_back:
        return attempt.ended(ROLLED_BACK, summary.reasons[0], version=summary.rolled_back)
    return attempt.ended(NOT_BLESSED, "; ".join(summary.reasons))


def _provenance(
    config: PipelineConfig, span: Span, corpus: str, code: Mapping[str, str]
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
        evaluation=patterns_fingerprint(config.cleaning.evaluation_texts),
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
) -> PolysemeError | None:
    """Runs the graph; returns what stopped it."""
    try:
        console.print("loading TensorFlow, Beam and TFX", style="dim")
        with imports():
            from components.serving_check import docker_available
            from pipeline.cache_keys import keys_by_content
            from pipeline.dag import create_pretraining_pipeline
            from pipeline.runners import run_locally

        docker = bool(config.serving_image) and docker_available()
        pipeline = create_pretraining_pipeline(config, provenance, files, code, docker=docker)
        with keys_by_content(code):
            run_locally(pipeline, run_id)
    except Exception as error:
        _log.exception("the run failed")
        return explain(error) or _unforeseen(error, config.folder / "logs" / f"{run_id}.log")
    return None


def _report(config: PipelineConfig, history: RunHistory, summary: Summary) -> pathlib.Path | None:
    from pipeline.reporting import REPORT, report_run

    existing = config.folder / REPORT
    if summary.cached and existing.exists():
        return existing  # it shows what is there already
    return report_run(config, history, summary)


def _unforeseen(error: BaseException, log: pathlib.Path) -> PolysemeError:
    text = str(error).strip().splitlines() or [""]
    return PolysemeError(
        f"{type(error).__name__}: {text[0][:300]}",
        where=f"the traceback is in {log}",
        remedy="give the same command again to go on from the last finished step",
    )


def _write(path: pathlib.Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
