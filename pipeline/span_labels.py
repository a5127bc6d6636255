"""Labels of spans in paths: the number or date that stands for `{SPAN}` of a pattern."""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Mapping
from typing import NamedTuple

from components.readers.files import PLACEHOLDER

DAY, MONTH, NUMBER = "a day", "a month", "a number"
"""The kinds of labels."""
MAX_DIGITS = 18  # of the integers that ML Metadata can store
_TOKENS: Mapping[str, re.Pattern[str]] = {
    DAY: re.compile(r"(?<![0-9])([0-9]{4})([-_.])([0-9]{2})\2([0-9]{2})(?![0-9])"),
    MONTH: re.compile(r"(?<![0-9])((?:1[7-9]|2[01])[0-9]{2})[-_.]([0-9]{2})(?![0-9])"),
    NUMBER: re.compile(r"[0-9]+"),
}
"""What `{SPAN}` may stand for. No token is part of a longer number: the search is greedy, and a
date has no digit directly before or after it."""
_PATTERN_PARTS = re.compile(r"(\{SPAN\}|\*|\?|\[!?\]?[^\]{]*\])")
_MARK = "\0"  # a character that no path contains


class Label(NamedTuple):
    """The text that `{SPAN}` matches in a path, and the number that it means.

    Attributes:
        kind: `DAY`, `MONTH` or `NUMBER`.
        number: the number itself, or the ordinal of a day or of a month's first day.
        text: the label as it is written in the path.
    """

    kind: str
    number: int
    text: str

    @property
    def normalized(self) -> str:
        """The label for people, with dates in the form of ISO 8601."""
        return self.text if self.kind == NUMBER else re.sub("[_.]", "-", self.text)


def parse_label(text: str) -> Label | None:
    """Read a text as a label; None if it is not one."""
    if len(text) > MAX_DIGITS:
        return None
    for kind, token in _TOKENS.items():
        if (match := token.fullmatch(text)) and (label := _label(kind, match)):
            return label
    return None


def labels_in(path: str, expression: re.Pattern[str]) -> set[Label]:
    """The labels that a path can have; more than one if it is ambiguous.

    A token of the path is a candidate if the pattern can have `{SPAN}` in its place. Candidates
    that are part of a longer date do not count if there are others, nor do numbers if there are
    dates.

    Args:
        path: a path.
        expression: the compiled pattern, see `compile_pattern`.
    """
    tokens = [
        (match.start(), match.end(), label)
        for kind, token in _TOKENS.items()
        for match in token.finditer(path)
        if (label := _label(kind, match))
    ]
    candidates = [
        (start, end, label)
        for start, end, label in tokens
        if expression.fullmatch(f"{path[:start]}{_MARK}{path[start:end]}{_MARK}{path[end:]}")
    ]
    not_in_longer = [
        label
        for start, end, label in candidates
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in tokens)
    ]
    dates = [label for label in not_in_longer if label.kind != NUMBER]
    return set(dates or not_in_longer or [label for _, _, label in candidates])


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression that matches a path in which two marks enclose the span's label.

    Args:
        pattern: a glob with `{SPAN}`, absolute. A second `{SPAN}` stands for the same text.
    """
    parts = pattern.split("/")
    text, has_span = "", False
    for number, part in enumerate(parts):
        end = "/" if number < len(parts) - 1 else ""
        if part == "**":
            text += f"(?:.*{end})?" if end else ".*"
            continue
        for piece in _PATTERN_PARTS.split(part):
            if piece == PLACEHOLDER:
                repeated = "(?<![0-9])(?P=span)(?![0-9])"
                text += repeated if has_span else f"{_MARK}(?P<span>[^{_MARK}]+){_MARK}"
                has_span = True
            elif piece in ("*", "?"):
                text += {"*": "[^/]*", "?": "[^/]"}[piece]
            elif piece.startswith("[") and piece.endswith("]"):
                text += f"(?!/){fnmatch.translate(piece)[4:-3]}"  # without its (?s: and )\Z
            else:
                text += re.escape(piece)
        text += end
    return re.compile(text, re.DOTALL)


def _label(kind: str, match: re.Match[str]) -> Label | None:
    """A token as a label, None if it looks like a date and does not exist in the calendar."""
    text = match[0]
    if kind == NUMBER:
        return Label(kind, int(text), text)
    year, month = int(match[1]), int(match[3] if kind == DAY else match[2])
    try:
        date = datetime.date(year, month, int(match[4]) if kind == DAY else 1)
    except ValueError:
        return None
    return Label(kind, date.toordinal(), text)
