"""Safe output: control characters in texts are escaped before they reach a terminal or a log.

Commands print only through `Console`, `say` or `say_json`, and log through `PrintableFormatter`;
models/printable.py says why.
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
    """Prints a value as JSON on standard output, in ASCII if its encoding is not UTF-8."""
    unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    sys.stdout.write(f"{to_json(value, indent=2, ensure_ascii=not unicode)}\n")


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural, as "1 file" or "1,200 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def hide(text: str, secrets: Mapping[str, str]) -> str:
    """The text with secrets replaced.

    Args:
        text: the text to print or log.
        secrets: values and their replacements, see `components.beam_flags.variable_values`.
    """
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, secrets[value])
    return text


class PrintableFormatter(logging.Formatter):
    """Formats log records and their tracebacks so that they are safe to print with `cat`.

    Args:
        form: a format for `logging.Formatter`.
        secrets: see `hide`.
    """

    def __init__(self, form: str | None = None, secrets: Mapping[str, str] | None = None) -> None:
        super().__init__(form)
        self._secrets = secrets or {}

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable(hide(super().format(record), self._secrets))


class Console(rich.console.Console):  # noqa: TID251
    """Rich's console for texts of others: no markup, no emoji codes, no control characters.

    Styles come from `rich.text.Text`. Everything that is rendered, including cells of tables, is
    made printable; the control sequences of rich's own styles are kept.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render(self, *arguments: Any, **named: Any) -> Iterable[Segment]:
        """The segments of an object to print, made printable."""
        for segment in super().render(*arguments, **named):
            if segment.control or not UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def guard() -> None:
    """Makes Python's own output safe: log records without a handler, and uncaught exceptions."""
    if logging.lastResort:
        logging.lastResort.setFormatter(PrintableFormatter())
    sys.excepthook = _print_traceback


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))
