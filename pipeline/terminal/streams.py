"""Prepares the standard streams for a command, however a shell or a scheduler has set them up."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

from models.errors import ConfigError

_MIN_COLUMNS = 40


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Makes sure that all three standard streams are open and can show any text.

    A closed stream is replaced by the null device: otherwise the next file to be opened would get
    its descriptor, and output would be written into that file. A character that a stream's encoding
    lacks is shown as an escape sequence. Lines are laid out for at least `_MIN_COLUMNS` columns. At
    the end no output is left that Python would write at exit.
    """
    _open_closed_streams()
    width = shutil.get_terminal_size().columns
    if width < _MIN_COLUMNS or os.environ.get("COLUMNS") == "0":
        os.environ["COLUMNS"] = str(max(width, _MIN_COLUMNS))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        discard_unwritable_output()


def show(printing: Callable[[], None]) -> None:
    """Prints text that the exit code does not depend on: nothing is raised if nobody reads it."""
    try:
        printing()
        sys.stdout.flush()
    except (OSError, SystemExit):  # rich raises SystemExit if the reader of a pipe is gone
        discard_unwritable_output()


def run_and_flush(command: Callable[[], int]) -> int:
    """Runs a command and flushes standard output; returns the command's exit code.

    Raises:
        BrokenPipeError: nobody reads standard output.
    """
    try:
        code = command()
    except SystemExit as error:  # commands do not raise it, but rich does, as above
        raise BrokenPipeError from error
    sys.stdout.flush()
    return code


def check_encoding(arguments: Sequence[str]) -> None:
    """Refuses arguments that are not text, which no configuration, record or answer can contain.

    Raises:
        ConfigError: an argument, or the locale's encoding, is not UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    for argument in arguments:
        content = os.fsencode(argument)
        where = content.decode("utf-8", "backslashreplace")[:200]
        if encoding != "utf-8" and not content.isascii():
            raise ConfigError(
                f"the locale's encoding is {encoding}, so the argument cannot be read as UTF-8",
                where=where,
                remedy="set LC_ALL=C.UTF-8",
            )
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(
                "an argument is not UTF-8",
                where=where,
                remedy="write it in UTF-8; rename a file with such a name, or make a link to it",
            ) from error


class LossyWriter(io.TextIOWrapper):
    """A text stream that ignores failed writes: no run fails because of its progress lines."""

    def write(self, text: str) -> int:
        """Writes the text, or drops it if that fails."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream, or drops what is left if that fails."""
        with contextlib.suppress(OSError):
            super().flush()


def discard_unwritable_output() -> None:
    """Flushes standard output and error; what cannot be written goes to the null device."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
            stream.flush()


def _open_closed_streams() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            file = os.open(os.devnull, os.O_RDWR)
            if file != number:
                os.dup2(file, number)
                os.close(file)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
