"""Spans: which files a `{SPAN}` pattern stands for, and which span's turn it is.

A span is a number, or a date whose ordinal is the number, so that spans have an order and "the next
one" means something. Without `{SPAN}` the whole input is span 0.
"""

from __future__ import annotations

import dataclasses
import datetime
import glob
import re
from collections.abc import Collection

from models.errors import ConfigError, DataRefused

PLACEHOLDER = "{SPAN}"
_TOKEN = r"\d{4}-\d{2}-\d{2}|\d+"
_WILDCARDS = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}


@dataclasses.dataclass(frozen=True)
class Span:
    """One span of the input.

    Attributes:
        number: its place in the order of spans.
        label: as it is written in file names, "0" without `{SPAN}`.
        pattern: the input with the label in `{SPAN}`'s place.
    """

    number: int
    label: str
    pattern: str


def span_number(label: str) -> int:
    """A span's number: itself, or the ordinal of a date as 2024-05-01.

    Raises:
        ConfigError: it is neither.
    """
    try:
        if label.isdecimal():
            return int(label)
        return datetime.date.fromisoformat(label).toordinal()
    except ValueError:
        raise ConfigError(
            f"{label!r} is no span", remedy="give a number, a date as 2024-05-01, next or latest"
        ) from None


def available_spans(pattern: str) -> list[Span]:
    """The spans that exist, in order.

    Args:
        pattern: files, with `{SPAN}` once or more, and with `*` and `?` as in a shell.

    Returns:
        Spans by number; none where nothing matches.

    Raises:
        ConfigError: two labels mean the same span.
    """
    if PLACEHOLDER not in pattern:
        return [Span(0, "0", pattern)]  # whether it exists, components/input_files.py checks
    expression = _expression(pattern)
    labels = set()
    for path in glob.glob(pattern.replace(PLACEHOLDER, "*"), recursive=True):
        match = expression.fullmatch(path)
        if match:
            labels.add(match["span"])
    spans: dict[int, Span] = {}
    for label in sorted(labels):
        try:
            number = span_number(label)
        except ConfigError:
            continue  # digits as of a date, but no day of the calendar: some other file
        if number in spans:
            raise ConfigError(f"{spans[number].label} and {label} are the same span", where=pattern)
        spans[number] = Span(number, label, pattern.replace(PLACEHOLDER, label))
    return [spans[number] for number in sorted(spans)]


def choose_span(pattern: str, wanted: str, done: Collection[int]) -> Span:
    """The span to run.

    Args:
        pattern: see `available_spans`.
        wanted: a label, "latest" for the last that exists, or "next" for the first that no run has
            been through to its end, and the last one where there is no such span.
        done: numbers of the spans that runs have been through.

    Raises:
        ConfigError: `wanted` is no span.
        DataRefused: no such span exists.
    """
    spans = available_spans(pattern)
    if not spans:
        raise DataRefused(
            "no file matches the input",
            where=pattern,
            remedy=f"check the path; {PLACEHOLDER} stands for a number or a date as 2024-05-01",
        )
    if wanted == "latest":
        return spans[-1]
    if wanted == "next":
        return next((span for span in spans if span.number not in done), spans[-1])
    number = span_number(wanted)
    for span in spans:
        if span.number == number:
            return span
    shown = ", ".join(span.label for span in spans[:20]) + (", …" if len(spans) > 20 else "")
    raise DataRefused(f"span {wanted} does not exist", where=pattern, remedy=f"there are: {shown}")


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression whose group `span` is what stands for `{SPAN}`."""
    text, grouped = "", False
    for part in re.split(r"(\{SPAN\}|\*\*/|\*|\?|\[[^]]+\])", pattern):
        if part == PLACEHOLDER:
            text += "(?P=span)" if grouped else f"(?P<span>{_TOKEN})"
            grouped = True
        elif part.startswith("[") and part.endswith("]"):
            text += part.replace("[!", "[^")
        else:
            text += _WILDCARDS.get(part) or re.escape(part)
    return re.compile(text)
