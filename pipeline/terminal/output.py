"""What may reach a terminal: text whose control characters are shown, not obeyed.

All that commands print goes through `Console`, `say` or `say_json`, and log lines through
`PrintableFormatter`; models/printable.py says why.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import rich.console
from rich.segment import Segment

from models.printable import UNSAFE, printable, to_json


def say(text: object) -> None:
    """Prints a line on standard output."""
    sys.stdout.write(f"{printable(str(text))}\n")


def say_json(value: Any) -> None:
    """Prints a value as JSON on standard output, in ASCII where that has no UTF-8."""
    unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    sys.stdout.write(f"{to_json(value, indent=2, ensure_ascii=not unicode)}\n")


def hide(text: str, secrets: Mapping[str, str]) -> str:
    """The text with secrets replaced.

    Args:
        text: what is to be printed or logged.
        secrets: values and their replacements, see `components.beam_flags.variable_values`.
    """
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, secrets[value])
    return text


class PrintableFormatter(logging.Formatter):
    """Log records, with their tracebacks, that are safe to be read with `cat`.

    Args:
        form: as of `logging.Formatter`.
        secrets: see `hide`.
    """

    def __init__(self, form: str | None = None, secrets: Mapping[str, str] | None = None) -> None:
        super().__init__(form)
        self._secrets = secrets or {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable(hide(super().format(record), self._secrets))


class Console(rich.console.Console):  # noqa: TID251
    """Rich's console for text that is not ours: no markup, no emoji codes, no control characters.

    Styles come from `rich.text.Text`. Whatever is rendered, cells of tables too, is made printable;
    rich's own sequences stay as they are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render(self, *arguments: Any, **named: Any) -> Iterable[Segment]:
        """The segments of something to print."""
        for segment in super().render(*arguments, **named):
            if segment.control or not UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def guard() -> None:
    """Has what Python itself writes to the terminal, log records and tracebacks, go through here.

    For records where no handler is set, and for errors that nobody foresaw.
    """
    if logging.lastResort:
        logging.lastResort.setFormatter(PrintableFormatter())
    sys.excepthook = _print_traceback


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))
