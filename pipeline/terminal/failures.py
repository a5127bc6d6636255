"""Converts exceptions of Beam, TFX and the system into errors that say what to do."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import tempfile
import traceback
from collections.abc import Iterator, Mapping

from models import errors
from models.errors import ConfigError, PolysemeError
from pipeline.terminal.output import hide

_FULL_DISK = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_RAISED = re.compile(r"^(?:RuntimeError: )?models\.errors\.(\w+): (.*)$")
_FIELD = re.compile(r"^  (where|to do): (.*)$")
_ABOUT_THE_PATH = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.EISDIR),
    *(errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EXDEV, errno.ENOTEMPTY),
)
"""Error numbers that are about the path itself, such as its permissions."""
_REPORT_IT = "run the same command again; if it fails again, report the problem with the traceback"
_TRACE_LINES = 12
_MAX_LINE_LENGTH = 300
"""Characters of an exception's text that are shown."""
_MAX_PARSED = 100_000
"""Characters of an exception's text that are searched for its first line."""
_STEP = re.compile(r" \[while running '[^']*'\].*$")


_DATABASE_ERRORS = {
    "database is locked": ("another process is using it", "run the command again"),
    "attempt to write a readonly database": ("it is read-only", "change its permissions"),
    "unable to open database file": (
        "the file, or a file next to it, may not be opened",
        "change the folder's permissions",
    ),
    "disk I/O error": ("the disk has an error", "check the disk, then run the command again"),
}
"""SQLite's message → what is wrong, and what to do."""
_DATABASE_DAMAGED = ("database disk image is malformed", "file is not a database")
_RESTORE = (
    "restore the file from a backup, or give the pipeline another --name; served models are not"
    " affected"
)


class DiskFull(PolysemeError):
    """The disk is full."""


def database_refused(error: BaseException | str, file: pathlib.Path) -> PolysemeError:
    """The error to show if a pipeline's metadata database cannot be used.

    Args:
        error: what ML Metadata raised, or a description of the problem.
        file: the database.
    """
    explained = explain(error) if isinstance(error, BaseException) else None
    if explained is None:
        problem = error if isinstance(error, str) else one_line(error)
        explained = ConfigError(f"the metadata database is damaged: {problem}", remedy=_RESTORE)
    where = explained.where or str(file)
    return type(explained)(explained.what, where=where, remedy=explained.remedy)


def explain(error: BaseException) -> PolysemeError | None:
    """The error to show for an exception: a `PolysemeError` behind it, or a known system error.

    It searches the causes and contexts of the exception, and the texts into which Beam converts an
    error of a worker process. A full disk and errors of the metadata database are recognised in any
    library's exception.

    Returns:
        None for an unexpected exception.
    """
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, PolysemeError):
            return link
    for link in chain:
        if error_in_text := _from_text(_text_of(link)):
            return error_in_text
    if any(_is_disk_full(link) for link in chain):
        return DiskFull(
            "the disk is full",
            where=next(
                (link.filename for link in chain if isinstance(link, OSError) and link.filename),
                None,
            ),
            remedy="free some space and run the same command again: finished work is kept",
        )
    for text in map(_text_of, chain):
        for message, (what, remedy) in _DATABASE_ERRORS.items():
            if message in text:
                return ConfigError(f"the metadata database cannot be used: {what}", remedy=remedy)
        for message in _DATABASE_DAMAGED:
            if message in text:
                return ConfigError(f"the metadata database is damaged: {message}", remedy=_RESTORE)
    return None


def without_secrets(error: PolysemeError, secrets: Mapping[str, str]) -> PolysemeError:
    """The error with secrets replaced in its texts, see `pipeline.terminal.output.hide`."""
    where, remedy = (text and hide(text, secrets) for text in (error.where, error.remedy))
    return type(error)(hide(error.what, secrets), where=where, remedy=remedy)


def unexpected_error(error: BaseException, log: pathlib.Path) -> PolysemeError:
    """The error to show for an unexpected exception.

    Args:
        error: the exception.
        log: the file that contains its traceback.
    """
    return PolysemeError(
        one_line(error),
        where=f"the traceback is in {log}",
        remedy="run the same command again to resume after the last finished step",
    )


def as_polyseme_error(error: BaseException) -> PolysemeError:
    """The error to show for the exception that ended a command.

    The traceback of an unexpected exception is written to a temporary file.
    """
    explained = explain(error)
    if explained is not None:
        return explained
    if isinstance(error, RuntimeError) and "determine home directory" in _text_of(error):
        return ConfigError(
            "the home folder ~ is unknown", remedy="set HOME, or write the path without ~"
        )
    if isinstance(error, OSError) and error.filename is not None:
        kind = ConfigError if error.errno in _ABOUT_THE_PATH else PolysemeError
        return kind(
            f"a file or folder cannot be used: {error.strerror}",
            where=os.fsencode(error.filename).decode("utf-8", "backslashreplace"),
            remedy="correct the path or its permissions, then run the same command again",
        )
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        number, path = tempfile.mkstemp(prefix="polyseme-", suffix=".log")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError:
        lines = [_first_line(line) for line in trace.splitlines()[-_TRACE_LINES:]]
        return PolysemeError("\n".join([one_line(error), *lines]), remedy=_REPORT_IT)
    return PolysemeError(one_line(error), where=f"the traceback is in {path}", remedy=_REPORT_IT)


def one_line(error: BaseException) -> str:
    """An exception in one line of limited length, without characters that control a terminal."""
    if explained := explain(error):
        return _first_line(explained.what)
    text = _first_line(_text_of(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_line(text: str) -> str:
    """The first line that is not blank, shortened, with `?` for characters that cannot be shown."""
    start = text[:_MAX_PARSED].encode("utf-8", "replace").decode()
    lines = ("".join(c if c.isprintable() else "?" for c in line) for line in _lines(start))
    line = next(filter(None, lines), "")
    return line if len(line) <= _MAX_LINE_LENGTH else f"{line[: _MAX_LINE_LENGTH - 1]}…"


def _lines(text: str) -> Iterator[str]:
    return (" ".join(line.split()) for line in text.splitlines())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, its cause or context, the cause or context of that, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _from_text(text: str) -> PolysemeError | None:
    """The last `PolysemeError` in the text of a traceback, None if there is none."""
    if "models.errors." not in text:
        return None
    lines = text.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        match = _RAISED.match(lines[number])
        kind = getattr(errors, match[1], None) if match else None
        if match and isinstance(kind, type) and issubclass(kind, PolysemeError):
            what, fields = [_STEP.sub("", match[2])], {}
            for line in lines[number + 1 :]:
                field = _FIELD.match(line)
                if field:
                    fields[field[1]] = _STEP.sub("", field[2])
                elif line.startswith("  ") and not fields and not line.startswith('  File "'):
                    what.append(_STEP.sub("", line))
                else:
                    break
            return kind("\n".join(what), where=fields.get("where"), remedy=fields.get("to do"))
    return None


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = _text_of(error)
    return any(message in text for message in _FULL_DISK)


def _text_of(error: BaseException) -> str:
    """The text of an exception; a library's exception class may fail even to give that."""
    try:
        return str(error)
    except Exception as broken:
        return f"(no text: {type(broken).__name__})"
