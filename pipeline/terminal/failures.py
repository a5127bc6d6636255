"""The error behind an error: what Beam and TFX wrapped, as something a person can act on."""

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
"""What is wrong with a path, and not with what is done there."""
_AGAIN = "give the same command again; if that does not help, tell us, with the traceback"
_TRACE_LINES = 12
_MOST = 300
"""Characters of an exception's text that are shown."""
_LOOKED_AT = 100_000
_STEP = re.compile(r" \[while running '[^']*'\].*$")


_DATABASE = {
    "database is locked": ("another process is at work on it", "give the command again"),
    "attempt to write a readonly database": ("it may not be written", "change its permissions"),
    "unable to open database file": (
        "it, or a file beside it, may not be opened",
        "change the folder's permissions",
    ),
    "disk I/O error": ("the disk fails", "look at the disk, then give the command again"),
}
"""What SQLite says: in words, and what to do."""
_DAMAGED = ("database disk image is malformed", "file is not a database")
_RESTORE = (
    "put back a copy of the file, or give the pipeline another --name; no served model is touched"
)


class DiskFull(PolysemeError):
    """There was no room left to write."""


def database_refused(error: BaseException | str, file: pathlib.Path) -> PolysemeError:
    """The error to show where a pipeline's metadata cannot be used.

    Args:
        error: what ML Metadata raised, or what is wrong.
        file: the database.
    """
    known = explain(error) if isinstance(error, BaseException) else None
    if known is None:
        said = error if isinstance(error, str) else in_a_line(error)
        known = ConfigError(f"the record of the runs is damaged: {said}", remedy=_RESTORE)
    return type(known)(known.what, where=known.where or str(file), remedy=known.remedy)


def explain(error: BaseException) -> PolysemeError | None:
    """The error to show for an exception: its own kind if one of ours is behind it.

    Looks through causes and contexts, and through the texts that Beam makes of an error in a worker
    process. A full disk is recognised whoever met it.

    Returns:
        None if nobody foresaw it.
    """
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, PolysemeError):
            return link
    for link in chain:
        if found := _from_text(_text_of(link)):
            return found
    if any(_is_disk_full(link) for link in chain):
        return DiskFull(
            "the disk is full",
            where=next(
                (link.filename for link in chain if isinstance(link, OSError) and link.filename),
                None,
            ),
            remedy="free some space and give the same command again: what was done is kept",
        )
    for text in map(_text_of, chain):
        for said, (what, remedy) in _DATABASE.items():
            if said in text:
                return ConfigError(f"the record of the runs cannot be used: {what}", remedy=remedy)
        for said in _DAMAGED:
            if said in text:
                return ConfigError(f"the record of the runs is damaged: {said}", remedy=_RESTORE)
    return None


def without_secrets(error: PolysemeError, secrets: Mapping[str, str]) -> PolysemeError:
    """The same error with secrets replaced in its texts, see `pipeline.terminal.output.hide`."""
    where, remedy = (text and hide(text, secrets) for text in (error.where, error.remedy))
    return type(error)(hide(error.what, secrets), where=where, remedy=remedy)


def unforeseen(error: BaseException, log: pathlib.Path) -> PolysemeError:
    """The error to show for one that nobody foresaw.

    Args:
        error: the exception.
        log: the file that holds its traceback.
    """
    return PolysemeError(
        in_a_line(error),
        where=f"the traceback is in {log}",
        remedy="give the same command again to go on from the last finished step",
    )


def shown(error: BaseException) -> PolysemeError:
    """The error to show for whatever ended a command; of one that nobody foresaw the traceback is
    kept in a file."""
    found = explain(error)
    if found is not None:
        return found
    if isinstance(error, RuntimeError) and "determine home directory" in _text_of(error):
        return ConfigError(
            "nothing tells which folder ~ stands for", remedy="set HOME, or write the path out"
        )
    if isinstance(error, OSError) and error.filename is not None:
        kind = ConfigError if error.errno in _ABOUT_THE_PATH else PolysemeError
        return kind(
            f"a file or folder cannot be used: {error.strerror}",
            where=os.fsencode(error.filename).decode("utf-8", "backslashreplace"),
            remedy="mend the path or its permissions, then give the same command again",
        )
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        number, path = tempfile.mkstemp(prefix="polyseme-", suffix=".log")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError:
        lines = [_a_line(line) for line in trace.splitlines()[-_TRACE_LINES:]]
        return PolysemeError("\n".join([in_a_line(error), *lines]), remedy=_AGAIN)
    return PolysemeError(in_a_line(error), where=f"the traceback is in {path}", remedy=_AGAIN)


def in_a_line(error: BaseException) -> str:
    """An exception in one line of limited length, without characters that control a terminal."""
    if found := explain(error):
        return _a_line(found.what)
    said = _a_line(_text_of(error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _a_line(text: str) -> str:
    """The first line with any text, cut to `_MOST` characters, `?` for what cannot be shown."""
    beginning = text[:_LOOKED_AT].encode("utf-8", "replace").decode()
    lines = ("".join(c if c.isprintable() else "?" for c in line) for line in _lines(beginning))
    line = next(filter(None, lines), "")
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def _lines(text: str) -> Iterator[str]:
    return (" ".join(line.split()) for line in text.splitlines())


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, its cause or context, theirs, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _from_text(text: str) -> PolysemeError | None:
    """One of our errors out of a traceback's text, the last one in it."""
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
    said = _text_of(error)
    return any(text in said for text in _FULL_DISK)


def _text_of(error: BaseException) -> str:
    """What an exception says; the class of a library may fail at that too."""
    try:
        return str(error)
    except Exception as broken:
        return f"(no text: {type(broken).__name__})"
