"""Who may speak while a pipeline runs: our progress on the console, all the rest in a log file."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pathlib
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from components.storage.publish import write_whole
from models.errors import PolysemeError
from models.printable import printable
from models.processor import choose_onednn
from pipeline.terminal.output import Console, PrintableFormatter, hide
from pipeline.terminal.streams import Forgiving, end_what_cannot_be_written

PROGRESS = "polyseme"
"""The logger whose records, from INFO on, people see."""
_STARTED = (
    "Component %s is running."  # what TFX's local runner and its launcher say, on both stacks
)
_ENDED = "Component %s is finished."
_FAILED = "Execution %d failed."
_CACHED = "A cached execution %d is used."


def quiet_imports() -> None:
    """Keeps what TensorFlow and its libraries say when they are imported off the terminal.

    For commands that answer a question and have no log file; call it before the import. It also
    chooses oneDNN or not, for requests of a few texts.
    """
    choose_onednn("serving")
    # As Python ends it takes modules apart, and TensorFlow's functions may then miss some: a
    # complaint ("Exception ignored in …") after a good answer. Until then complaints are shown.
    atexit.register(setattr, sys, "unraisablehook", lambda _: None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)


@contextlib.contextmanager
def quiet_errors() -> Iterator[None]:
    """Keeps what C++ libraries write to standard error off the terminal, unless the block fails.

    Not all ask for a log level: SentencePiece greets every time it loads a vocabulary.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException as error:
            os.dup2(kept, 2)
            if not isinstance(error, PolysemeError):
                file.seek(0)
                sys.stderr.write(printable(file.read().decode("utf-8", "replace")))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def output_on_stderr() -> Iterator[None]:
    """Sends to standard error what the block writes to standard output, C++ libraries too.

    For a command whose output is for a program, which reads nothing but JSON.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def quiet_libraries(
    log_file: pathlib.Path, secrets: Mapping[str, str] | None = None
) -> Iterator[Console]:
    """Sends everything written to the process's output into a file, but what the console prints.

    The file descriptors themselves are redirected: TensorFlow, XLA and the worker processes don't
    ask Python. Loggers below `polyseme` and the starts and ends of components reach the console.

    Args:
        log_file: the file.
        secrets: what neither the file nor the console may show, see
            `pipeline.terminal.output.hide`. What C++ libraries and other processes write is cleared
            of it when the block ends.

    Yields:
        The console, on the real output.
    """
    import absl.logging  # must be imported before anyone asks `logging` for its logger

    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    root = logging.getLogger()
    before = root.handlers[:], root.level, absl.logging.get_verbosity()
    log = open(log_file, "a", encoding="utf-8", errors="replace")
    output = Forgiving(open(os.dup(1), "wb"), encoding="utf-8", errors="replace")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    console = Console(file=output)
    to_file = _FileHandler(log)
    form = "%(asctime)s %(levelname).1s %(name)s: %(message)s"
    to_file.setFormatter(PrintableFormatter(form, secrets))
    to_console = _ProgressHandler(console, secrets or {})
    root.handlers[:] = [to_file, to_console]
    root.setLevel(logging.INFO)
    absl.logging.set_verbosity(absl.logging.INFO)
    try:
        yield console
    except BaseException:
        with contextlib.suppress(OSError):
            log.write(printable(hide(traceback.format_exc(), secrets or {})))
        raise
    finally:
        to_console.close()
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        absl.logging.set_verbosity(before[2])
        end_what_cannot_be_written()  # else it is written to the terminal: the disk may be full
        for stream in (log, output):
            with contextlib.suppress(OSError):
                stream.close()
        for number, original in enumerate(kept, start=1):
            os.dup2(original, number)
            os.close(original)
        with contextlib.suppress(OSError):
            _make_printable(log_file, secrets or {})


def _make_printable(log_file: pathlib.Path, secrets: Mapping[str, str]) -> None:
    """Shows control characters and hides secrets of what was written past Python's logging."""

    def lines() -> Iterator[str]:
        with open(log_file, encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file

    def safe(line: str) -> str:
        return printable(hide(line, secrets))

    if any(safe(line) != line for line in lines()):
        write_whole(str(log_file), map(safe, lines()))


class _FileHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the log; where there is no room for it, nothing tells of each record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  its name in logging
        """Called amid the handling of an error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _ProgressHandler(logging.Handler):
    """Prints our own records, and a line as each component starts and ends.

    On a terminal records that have `progress` (done, all) are a bar instead of lines.
    """

    def __init__(self, console: Console, secrets: Mapping[str, str]) -> None:
        super().__init__(logging.INFO)
        self._secrets = secrets
        self._console = console
        self._component = ""
        self._started = time.monotonic()
        self._cached = False
        self._bar: Progress | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == PROGRESS or record.name.startswith(f"{PROGRESS}."):
            style = "yellow" if record.levelno >= logging.WARNING else ""
            progress = getattr(record, "progress", None)
            text = hide(record.getMessage(), self._secrets)
            if progress and self._console.is_terminal:
                done, total = progress
                self._show(done, total, text)
                return
            self._console.print(Text(f"    {text}", style), soft_wrap=True)
        elif record.msg == _STARTED and isinstance(record.args, tuple):
            self._end_bar()
            self._component = str(record.args[0])
            self._started, self._cached = time.monotonic(), False
            self._say("▸", "bold", "")
        elif record.msg == _CACHED:
            self._cached = True
        elif record.msg in (_ENDED, _FAILED):
            self._end_bar()
            note = f"{time.monotonic() - self._started:.1f} s"
            if record.msg == _FAILED:
                self._say("✗", "red", f"failed after {note}")
            else:
                self._say("✓", "green", f"{note}, cached" if self._cached else note)

    def _show(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("   "),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}"),
                console=self._console,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task("")
            self._bar.start()
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=done, total=total, description=escape(text))
        if done == total:
            self._end_bar()

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._end_bar()
        super().close()

    def _say(self, sign: str, style: str, note: str) -> None:
        self._console.print(Text.assemble((sign, style), f" {self._component} ", (note, "dim")))
