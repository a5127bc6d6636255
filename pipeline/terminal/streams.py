"""Standard streams as a command needs them, whatever a shell or a scheduler has made of them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

from models.errors import ConfigError

_NARROWEST = 40  # columns


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Sees to it that all three streams are there and can show any text.

    A stream that was closed is empty, or goes nowhere: else the next file to be opened would get
    its number, and what is printed would go into that file. A character that a stream's encoding
    lacks is shown as its code. Lines are laid out for a width that words fit into, whatever the
    terminal's. At the end nothing is left that Python would write as it exits.
    """
    _open_closed_ones()
    width = shutil.get_terminal_size().columns
    if width < _NARROWEST or os.environ.get("COLUMNS") == "0":
        os.environ["COLUMNS"] = str(max(width, _NARROWEST))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        end_what_cannot_be_written()


def show(printing: Callable[[], None]) -> None:
    """Prints what a command's end does not depend on: it is done, whether or not anybody reads."""
    try:
        printing()
        sys.stdout.flush()
    except (OSError, SystemExit):  # rich leaves by the latter where a pipe's reader is gone
        end_what_cannot_be_written()


def carried_out(command: Callable[[], int]) -> int:
    """Carries a command out, and prints what it has said.

    Raises:
        BrokenPipeError: nobody reads standard output.
    """
    try:
        code = command()
    except SystemExit as left:  # no command leaves so, but rich does, as above
        raise BrokenPipeError from left
    sys.stdout.flush()
    return code


def check_encoding(arguments: Sequence[str]) -> None:
    """Refuses bytes that are no text: they could be in no configuration, record or answer.

    Raises:
        ConfigError: an argument is not UTF-8, or the locale is not.
    """
    encoding = sys.getfilesystemencoding()
    for argument in arguments:
        given = os.fsencode(argument)
        where = given.decode("utf-8", "backslashreplace")[:200]
        if encoding != "utf-8" and not given.isascii():
            raise ConfigError(
                f"the locale's encoding is {encoding}, so this cannot be read as UTF-8",
                where=where,
                remedy="set LC_ALL=C.UTF-8",
            )
        try:
            given.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(
                "an argument is not UTF-8",
                where=where,
                remedy="write it in UTF-8; a file of such a name has to be renamed, or linked to",
            ) from error


class Forgiving(io.TextIOWrapper):
    """A stream that goes nowhere once it cannot be written: a run does not end for its progress."""

    def write(self, text: str) -> int:
        """Writes, or does not."""
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes, or does not."""
        with contextlib.suppress(OSError):
            super().flush()


def end_what_cannot_be_written() -> None:
    """Sends to nowhere what is left for a stream that cannot be written."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
            stream.flush()


def _open_closed_ones() -> None:
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
