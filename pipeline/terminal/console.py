"""Controls what reaches the terminal: progress does, the output of libraries goes to a log file."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pathlib
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import TextIO

from components.storage.publish import write_whole
from models.errors import PolysemeError
from models.printable import printable
from models.processor import choose_onednn
from pipeline.terminal.output import Console, PrintableFormatter, hide
from pipeline.terminal.progress import ProgressHandler
from pipeline.terminal.streams import LossyWriter, discard_unwritable_output

_LOG_FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


def quiet_imports() -> None:
    """Keeps messages off the terminal that TensorFlow and other libraries print when imported.

    It is for commands that answer a question and have no log file; call it before the import. It
    also decides whether TensorFlow uses oneDNN, for requests of a few texts.
    """
    choose_onednn("serving")
    # When Python exits it clears modules, and TensorFlow's functions may then miss some and print
    # "Exception ignored in …" after a good answer. Such messages are shown until then.
    atexit.register(setattr, sys, "unraisablehook", lambda _: None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)


@contextlib.contextmanager
def quiet_errors() -> Iterator[None]:
    """Keeps what C++ libraries write to standard error off the terminal, unless the block fails.

    Some libraries ignore log levels: SentencePiece prints a line whenever it loads a vocabulary.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException as error:
            os.dup2(original, 2)
            if not isinstance(error, PolysemeError):
                file.seek(0)
                sys.stderr.write(printable(file.read().decode("utf-8", "replace")))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)


@contextlib.contextmanager
def output_on_stderr() -> Iterator[None]:
    """Redirects standard output of the block, including that of C++ libraries, to standard error.

    It is for commands whose standard output is read by a program and must contain only JSON.
    """
    sys.stdout.flush()
    original = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(original, 1)
        os.close(original)


@contextlib.contextmanager
def quiet_libraries(
    log_file: pathlib.Path, secrets: Mapping[str, str] | None = None
) -> Iterator[Console]:
    """Redirects all output of the process to a log file, except what the console prints.

    Records of loggers below `polyseme`, and the starts and ends of steps, reach the console too.

    Args:
        log_file: the log file; text is appended.
        secrets: what neither the file nor the console may show, see
            `pipeline.terminal.output.hide`. What C++ libraries and other processes write is cleared
            of it when the block ends.

    Yields:
        The console, which writes to the original standard output.
    """
    secrets = secrets or {}
    try:
        with _output_to(log_file) as (log, original_stdout):
            console = Console(file=original_stdout)
            with _log_records_to(log, console, secrets):
                try:
                    yield console
                except BaseException:
                    with contextlib.suppress(OSError):
                        log.write(printable(hide(traceback.format_exc(), secrets)))
                    raise
    finally:
        with contextlib.suppress(OSError):
            _make_printable(log_file, secrets)


@contextlib.contextmanager
def _output_to(log_file: pathlib.Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Redirects the process's standard output and error to a file.

    The file descriptors are redirected, because TensorFlow, XLA and worker processes write to these
    without Python.

    Yields:
        The file, and the original standard output.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    originals = os.dup(1), os.dup(2)
    log = open(log_file, "a", encoding="utf-8", errors="replace")
    stdout = LossyWriter(open(os.dup(1), "wb"), encoding="utf-8", errors="replace")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        yield log, stdout
    finally:
        # What a full disk cannot take must not be written to the terminal after all.
        discard_unwritable_output()
        for stream in (log, stdout):
            with contextlib.suppress(OSError):
                stream.close()
        for number, original in enumerate(originals, start=1):
            os.dup2(original, number)
            os.close(original)


@contextlib.contextmanager
def _log_records_to(log: TextIO, console: Console, secrets: Mapping[str, str]) -> Iterator[None]:
    """Sends log records, from INFO on, to a file, and those about progress to the console too."""
    import absl.logging  # must be imported before its logger is requested from `logging`

    root = logging.getLogger()
    before = root.handlers[:], root.level, absl.logging.get_verbosity()
    to_file = _LogFileHandler(log)
    to_file.setFormatter(PrintableFormatter(_LOG_FORMAT, secrets))
    to_console = ProgressHandler(console, secrets)
    root.handlers[:] = [to_file, to_console]
    root.setLevel(logging.INFO)
    absl.logging.set_verbosity(absl.logging.INFO)
    try:
        yield
    finally:
        to_console.close()
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        absl.logging.set_verbosity(before[2])


def _make_printable(log_file: pathlib.Path, secrets: Mapping[str, str]) -> None:
    """Escapes control characters and hides secrets in what was written without Python's logging."""

    def lines() -> Iterator[str]:
        with open(log_file, encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file

    def safe(line: str) -> str:
        return printable(hide(line, secrets))

    if any(safe(line) != line for line in lines()):
        write_whole(str(log_file), map(safe, lines()))


class _LogFileHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the log file; on a full disk, records are lost without further messages."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  its name in logging
        """Called while the exception is handled."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)
