"""Messages from a training process to the process that launched it, over a pipe.

Every library in a process may write to standard output and standard error: a line there may look
like a message, may not be text, or may never end. So messages have a pipe of their own.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from models import errors

_MAX_CHARACTERS = 10_000  # of a message's text
_log = logging.getLogger(__name__)


class MessageSender(logging.Handler):
    """Sends log records, and how this process ended, to the process that launched it.

    Args:
        descriptor: file descriptor of the pipe. Programs that this process starts do not inherit
            it.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(logging.INFO)
        os.set_inheritable(descriptor, False)
        self._pipe = os.fdopen(descriptor, "wb")

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a log record with its level and its progress."""
        self._send(
            log=record.getMessage()[:_MAX_CHARACTERS],
            level=record.levelno,
            progress=getattr(record, "progress", None),
        )

    def failed(self, error: Exception) -> None:
        """Sends the error that ended this process."""
        if isinstance(error, errors.PolysemeError):
            what, where, remedy = error.what, error.where, error.remedy
            self._send(error=type(error).__name__, what=what, where=where, remedy=remedy)
        else:
            what = f"{type(error).__name__}: {error}"[:_MAX_CHARACTERS]
            self._send(error="", what=what, where=None, remedy=None)

    def done(self) -> None:
        """Says that the training is complete."""
        self._send(done=True)

    def _send(self, **message: Any) -> None:
        self.acquire()  # one thread at a time
        try:
            self._pipe.write(json.dumps(message).encode() + b"\n")
            self._pipe.flush()
        except OSError:  # the launcher is gone, and this process is about to be ended
            _log.debug("not sent: %s", message)
        finally:
            self.release()


class MessageReceiver:
    """Receives the messages of one process.

    Attributes:
        error: the error that ended the process, if it sent one: a PolysemeError, or a RuntimeError
            for any other error.
        done: whether the process said that the training is complete.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.done = False

    def receive(self, pipe: BinaryIO) -> Iterator[logging.LogRecord]:
        """Reads messages until the pipe is closed; yields the log records among them."""
        with pipe:
            for line in pipe:
                try:
                    record = self._handle(json.loads(line))
                except (ValueError, TypeError, LookupError):  # the process was killed as it wrote
                    _log.warning("incomplete message from a training process: %.200r", line)
                    continue
                if record is not None:
                    yield record

    def _handle(self, message: dict[str, Any]) -> logging.LogRecord | None:
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
            self.error = _to_error(message)
        else:
            self.done = bool(message["done"])
        return None


def _to_error(message: dict[str, Any]) -> Exception:
    kind = getattr(errors, message["error"], None) if message["error"] else None
    if isinstance(kind, type) and issubclass(kind, errors.PolysemeError):
        return kind(message["what"], where=message["where"], remedy=message["remedy"])
    return RuntimeError(f"a training process failed: {message['what']}")
