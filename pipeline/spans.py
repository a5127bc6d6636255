"""Spans: which files each span of a `{SPAN}` pattern has, and which span's turn it is.

A span is a number, a day or a month. Days have their ordinals as numbers, months those of their
first days, so that spans have an order. Without `{SPAN}` the whole input is span 0. The rules, and
the reasons for them, are in decision 0029.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import glob
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

from components.readers.files import PLACEHOLDER, as_glob, files_below, find_files, select_files
from components.readers.formats import FORMATS, format_of, printable_path
from models.errors import ConfigError, DataRefused, PolysemeError

_SHOWN = 20
_MAX_DIGITS = 18  # what ML Metadata keeps of whole numbers
_DAY, _MONTH, _NUMBER = "a day", "a month", "a number"
_TOKENS: Mapping[str, re.Pattern[str]] = {
    _DAY: re.compile(r"(?<![0-9])([0-9]{4})([-_.])([0-9]{2})\2([0-9]{2})(?![0-9])"),
    _MONTH: re.compile(r"(?<![0-9])((?:1[7-9]|2[01])[0-9]{2})[-_.]([0-9]{2})(?![0-9])"),
    _NUMBER: re.compile(r"[0-9]+"),
}
"""What `{SPAN}` may stand for. No token is a part of a longer number: the search is greedy, and no
digit may stand directly before or after a date."""
_BESIDE_DIGIT = re.compile(r"[0-9]\{SPAN\}|\{SPAN\}(?:[0-9]|\{SPAN\})")
_PARTS = re.compile(r"(\{SPAN\}|\*|\?|\[!?\]?[^\]{]*\])")
_MARK = "\0"  # in no path


class NothingNew(PolysemeError):
    """`next` has no span left to take. Not a fault: there is nothing to do."""


@dataclasses.dataclass(frozen=True)
class Span:
    """One span of the input.

    Attributes:
        number: its place in the order of spans.
        label: what stands in the place of `{SPAN}`, a date as 2024-05-01 or 2024-05 however file
            names write it; "0" without `{SPAN}`.
        pattern: the input, absolute, with `{SPAN}` in it.
        files: its files, absolute and sorted; never none.
        skipped: which others the pattern means, in words: their formats are not supported, say.
    """

    number: int
    label: str
    pattern: str
    files: tuple[str, ...]
    skipped: str = ""


class _Label(NamedTuple):
    """What stands for `{SPAN}` in a path: `text` as it is written there."""

    kind: str
    number: int
    text: str


def span_number(label: str) -> int:
    """A span's number: itself, or the ordinal of a day, or of a month's first day.

    Raises:
        ConfigError: it is neither a number, nor a day as 2024-05-01, nor a month as 2024-05.
    """
    for kind, token in _TOKENS.items() if len(label) <= _MAX_DIGITS else ():
        if (match := token.fullmatch(label)) and (found := _label(kind, match)):
            return found.number
    raise ConfigError(
        f"{label!r} is no span",
        remedy="give a number, a date as 2024-05-01 or 2024-05, next or latest",
    )


def available_spans(pattern: str) -> list[Span]:
    """The spans that exist, in order, each with the files whose names give its label.

    Args:
        pattern: a file, a folder or a glob. `{SPAN}`, once or more, stands for a whole number or
            date in one part of the path; `*`, `**`, `?` and `[…]` are as in a shell, and take no
            part of the label. What the pattern's last part names may be files or folders.

    Returns:
        Spans by number; none where nothing matches. Of files, the supported ones that are not
        hidden; a folder's are searched in depth.

    Raises:
        ConfigError: a file's name can be read as two spans, or two names of a span differ, or some
            are dates and some numbers.
        DataRefused: without `{SPAN}`, as `components.readers.files.find_files`.
    """
    pattern = str(pathlib.Path(pattern).expanduser().absolute())
    if PLACEHOLDER not in pattern:
        found = find_files(pattern)
        return [Span(0, "0", pattern, tuple(found.files), found.skipped_in_words())]
    if _BESIDE_DIGIT.search(pattern):
        raise ConfigError(
            f"a digit stands directly beside {PLACEHOLDER}: where its number begins or ends cannot"
            " be told",
            where=pattern,
            remedy=f"write {PLACEHOLDER} for the whole number",
        )
    pattern_of_paths = as_glob(pattern)
    expression = _expression(pattern_of_paths)
    labels: dict[str, _Label] = {}
    for path, files in _found(pattern_of_paths):
        try:
            label = _label_of(path, expression, pattern)
        except ConfigError:
            if any(map(format_of, files)):
                raise
            continue  # nothing of it is read
        if label:
            for file in files:
                if labels.setdefault(file, label) != label and format_of(file):
                    _refuse(pattern, file, f"{labels[file].text} or {label.text}")
    return _grouped(labels, pattern)


def choose_span(spans: Sequence[Span], pattern: str, wanted: str, over: Collection[int]) -> Span:
    """The span to run.

    Args:
        spans: those that exist, in order.
        pattern: the input that they are of.
        wanted: a label, "latest" for the last that exists, or "next" for the first that is not to
            be passed over.
        over: numbers of the spans that "next" passes over, see pipeline/span_history.py. An input
            without `{SPAN}` is never passed over.

    Raises:
        ConfigError: `wanted` is no span.
        DataRefused: no such span exists.
        NothingNew: "next" passes over all of them.
    """
    if not spans:
        raise DataRefused(
            "no file matches the input",
            where=pattern,
            remedy=f"check the path; {PLACEHOLDER} stands for a number, or a date as 2024-05-01 or"
            f" 2024-05; files are {FORMATS}",
        )
    if wanted == "latest":
        return spans[-1]
    if wanted == "next":
        for span in spans:
            if span.number not in over or PLACEHOLDER not in pattern:
                return span
        raise NothingNew(
            f"no span is left for `next`: {len(spans)} there, the last one {spans[-1].label}",
            where=pattern,
            remedy="`python -m pipeline spans` lists them; name one with --span to run it again",
        )
    number = span_number(wanted)
    for span in spans:
        if span.number == number:
            return span
    first, last = [span.label for span in spans[:_SHOWN]], spans[-1].label
    shown = ", ".join(first) + (f", …, {last}" if len(spans) > _SHOWN else "")
    raise DataRefused(f"span {wanted} does not exist", where=pattern, remedy=f"there are: {shown}")


def _found(pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Each path that the pattern may mean, whatever its span, and the files that it brings."""
    last = pattern.rpartition("/")[2]
    folders = PLACEHOLDER in last or not glob.has_magic(last)
    for path in sorted(set(glob.glob(pattern.replace(PLACEHOLDER, "[0-9]*"), recursive=True))):
        if os.path.isdir(path):
            yield path, files_below(path) if folders else []
        else:
            yield path, [path]


def _label_of(path: str, expression: re.Pattern[str], pattern: str) -> _Label | None:
    """What stands for `{SPAN}` in a path, None if nothing does.

    Of the tokens in whose place the pattern can have `{SPAN}`, those count that are no part of a
    longer date, and of those the dates. Where there are only parts of a date, it must be one.
    """
    places = [
        (match.start(), match.end(), label)
        for kind, token in _TOKENS.items()
        for match in token.finditer(path)
        if (label := _label(kind, match))
    ]
    candidates = [
        (start, end, label)
        for start, end, label in places
        if expression.fullmatch(
            f"{path[:start]}{_MARK}{path[start:end]}{_MARK}{path[end:]}"  # only there
        )
    ]
    whole = [
        label
        for start, end, label in candidates
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in places)
    ]
    dates = [label for label in whole if label.kind != _NUMBER]
    found = set(dates or whole or [label for _, _, label in candidates])
    if len(found) > 1:
        _refuse(pattern, path, " or ".join(sorted(label.text for label in found)))
    return next(iter(found), None)


def _label(kind: str, match: re.Match[str]) -> _Label | None:
    """A token as a label, None if it looks like a date and is none of the calendar."""
    text = match[0]
    if kind == _NUMBER:
        return _Label(kind, int(text), text)
    year, month = int(match[1]), int(match[3] if kind == _DAY else match[2])
    try:
        date = datetime.date(year, month, int(match[4]) if kind == _DAY else 1)
    except ValueError:
        return None
    return _Label(kind, date.toordinal(), text)


def _grouped(labels: Mapping[str, _Label], pattern: str) -> list[Span]:
    """Spans out of the label of each file."""
    paths: dict[_Label, list[str]] = {}
    for file in sorted(labels):
        paths.setdefault(labels[file], []).append(file)
    found = {label: each for label, held in paths.items() if (each := select_files(held)).files}
    files = {label: each.files for label, each in found.items()}
    kinds = {label.kind: held[0] for label, held in files.items()}
    if len(kinds) > 1:
        names = " and ".join(f"{kind} in {_name(file, pattern)}" for kind, file in kinds.items())
        raise ConfigError(
            f"spans of different kinds have no order: {PLACEHOLDER} is {names}",
            where=pattern,
            remedy="give a pattern that matches files of one kind, or rename the others",
        )
    spans: dict[int, _Label] = {}
    for label in files:
        if len(label.text) > _MAX_DIGITS:
            raise ConfigError(
                f"the span of {_name(files[label][0], pattern)} has more than {_MAX_DIGITS} digits",
                where=pattern,
                remedy="give spans shorter numbers",
            )
        other = spans.setdefault(label.number, label)
        if other != label:
            same = [_name(files[each][0], pattern) for each in (other, label)]
            raise ConfigError(
                f"{other.text} and {label.text} are the same span: {' and '.join(same)}",
                where=pattern,
                remedy="give all files of a span the same label",
            )
    return [
        Span(number, _shown(label), pattern, tuple(files[label]), found[label].skipped_in_words())
        for number, label in sorted(spans.items())
    ]


def _refuse(pattern: str, file: str, labels: str) -> NoReturn:
    raise ConfigError(
        f"the span of {_name(file, pattern)} can be read as {labels}",
        where=pattern,
        remedy=f"write more of the file names into the pattern, so that {PLACEHOLDER} fits in one"
        " place only, or rename the file",
    )


def _shown(label: _Label) -> str:
    """The label for people: dates as ISO 8601 has them."""
    return label.text if label.kind == _NUMBER else re.sub("[_.]", "-", label.text)


def _name(file: str, pattern: str) -> str:
    """A file's path below the folders that the pattern spells out."""
    root = re.split(r"\{SPAN\}|[*?[]", pattern)[0].rpartition("/")[0] or "/"
    return printable_path(os.path.relpath(file, root))


def _expression(pattern: str) -> re.Pattern[str]:
    """What matches a path whose span stands between two marks."""
    *folders, last = pattern.split("/")
    text, marked = "", False
    for number, part in enumerate([*folders, last]):
        end = "" if number == len(folders) else "/"
        if part == "**":
            text += f"(?:.*{end})?" if end else ".*"
            continue
        for piece in _PARTS.split(part):
            if piece == PLACEHOLDER:
                text += (
                    "(?<![0-9])(?P=span)(?![0-9])"
                    if marked
                    else f"{_MARK}(?P<span>[^{_MARK}]+){_MARK}"
                )
                marked = True
            elif piece in ("*", "?"):
                text += {"*": "[^/]*", "?": "[^/]"}[piece]
            elif piece.startswith("[") and piece.endswith("]"):
                text += f"(?!/){fnmatch.translate(piece)[4:-3]}"  # without its (?s: and )\Z
            else:
                text += re.escape(piece)
        text += end
    return re.compile(text, re.DOTALL)
