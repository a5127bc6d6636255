"""What a training process tells the one that started it, over a pipe of their own.

Standard output and standard error belong to every library in the process: a line of theirs may look
like one of our messages, be no text, or never end. So no message of ours is written there.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from models import errors

_MOST = 10_000  # characters of a message
_log = logging.getLogger(__name__)


class ToStarter(logging.Handler):
    """Tells the process that started this one: log records, how it ended.

    Args:
        number: the pipe's file descriptor. Programs that this process starts do not get it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(logging.INFO)
        os.set_inheritable(number, False)
        self._pipe = os.fdopen(number, "wb")

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a record on, with its level and its progress."""
        self._tell(
            log=record.getMessage()[:_MOST],
            level=record.levelno,
            progress=getattr(record, "progress", None),
        )

    def failed(self, error: Exception) -> None:
        """Passes on what ended this process."""
        if isinstance(error, errors.PolysemeError):
            what, where, remedy = error.what, error.where, error.remedy
            self._tell(error=type(error).__name__, what=what, where=where, remedy=remedy)
        else:
            told = f"{type(error).__name__}: {error}"[:_MOST]
            self._tell(error="", what=told, where=None, remedy=None)

    def done(self) -> None:
        """Says that the work is done."""
        self._tell(done=True)

    def _tell(self, **message: Any) -> None:
        self.acquire()  # threads of this process take turns
        try:
            self._pipe.write(json.dumps(message).encode() + b"\n")
            self._pipe.flush()
        except OSError:  # nobody listens any more; this process is about to be ended
            _log.debug("not told: %s", message)
        finally:
            self.release()


class FromProcess:
    """What a process has told.

    Attributes:
        error: what ended it, if it said so: a PolysemeError, or a RuntimeError for any other.
        done: whether it said that its work is done.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.done = False

    def listen(self, pipe: BinaryIO) -> Iterator[logging.LogRecord]:
        """Hears a process out, until it ends; gives its log records."""
        with pipe:
            for line in pipe:
                try:
                    record = self._hear(json.loads(line))
                except (ValueError, TypeError, LookupError):  # it was killed while it wrote
                    _log.warning("a training process ended amid what it told: %.200r", line)
                    continue
                if record is not None:
                    yield record

    def _hear(self, message: dict[str, Any]) -> logging.LogRecord | None:
        if "log" in message:
            level, progress = message["level"], message["progress"]
            return logging.makeLogRecord(
                {
                    "msg": message["log"],
                    "levelno": level,
                    "levelname": logging.getLevelName(level),
                    "progress": tuple(progress) if progress else None,
                }
            )
        if "error" in message:
            self.error = _error(message)
        else:
            self.done = bool(message["done"])
        return None


def _error(message: dict[str, Any]) -> Exception:
    kind = getattr(errors, message["error"], None) if message["error"] else None
    if isinstance(kind, type) and issubclass(kind, errors.PolysemeError):
        return kind(message["what"], where=message["where"], remedy=message["remedy"])
    return RuntimeError(f"a training process failed: {message['what']}")
