"""Spans of a `{SPAN}` pattern: which files each span has, and which span a run takes.

A span is a number, a day or a month. The number of a day is its ordinal, that of a month the
ordinal of its first day, so spans have an order. Without `{SPAN}` the whole input is span 0.
Decision 0029 has the rules and the reasons for them.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NoReturn

from components.readers.files import PLACEHOLDER, as_glob, files_below, find_files, select_files
from components.readers.formats import FORMATS, format_of, printable_path
from models.errors import ConfigError, DataRefused, PolysemeError
from pipeline.span_labels import MAX_DIGITS, Label, compile_pattern, labels_in, parse_label

_MAX_LISTED = 20
_NEXT_TO_DIGIT = re.compile(r"[0-9]\{SPAN\}|\{SPAN\}(?:[0-9]|\{SPAN\})")


class NothingNew(PolysemeError):
    """No span is left for `next`. This is not a failure: there is nothing to do."""


@dataclasses.dataclass(frozen=True)
class Span:
    """One span of the input.

    Attributes:
        number: determines the order of spans.
        label: the text that `{SPAN}` matches in the file names. A date is normalized to 2024-05-01
            or 2024-05. An input without `{SPAN}` has the label "0".
        pattern: the input, absolute, with `{SPAN}`.
        files: the span's files, absolute and sorted; at least one.
        skipped: the other files that the pattern matches, and why they are not read, in words.
    """

    number: int
    label: str
    pattern: str
    files: tuple[str, ...]
    skipped: str = ""


def span_number(label: str) -> int:
    """The number of the span with a label.

    Raises:
        ConfigError: the label is neither a number, nor a day as 2024-05-01, nor a month as 2024-05.
    """
    parsed = parse_label(label)
    if parsed is None:
        raise ConfigError(
            f"{label!r} is not a span",
            where="--span",
            remedy="give a number, a date as 2024-05-01 or 2024-05, next or latest",
        )
    return parsed.number


def available_spans(pattern: str) -> list[Span]:
    """The spans that exist, in order, each with its files.

    Args:
        pattern: a file, a folder or a glob. `{SPAN}` stands for a whole number or date in one part
            of the path and may be repeated; `*`, `**`, `?` and `[…]` work as in a shell, and match
            no part of the label. The last part of the pattern may match files or folders.

    Returns:
        Spans by number; none if nothing matches. Only files of supported formats that are not
        hidden count; folders are searched recursively.

    Raises:
        ConfigError: a file's name can be read as two spans, or two names of a span differ, or some
            spans are dates and some are numbers.
        DataRefused: without `{SPAN}`, see `components.readers.files.find_files`.
    """
    pattern = str(pathlib.Path(pattern).expanduser().absolute())
    if PLACEHOLDER not in pattern:
        files = find_files(pattern)
        return [Span(0, "0", pattern, tuple(files.files), files.skipped_in_words())]
    if _NEXT_TO_DIGIT.search(pattern):
        raise ConfigError(
            f"a digit is directly next to {PLACEHOLDER}, so it is unclear where the span's number"
            " begins or ends",
            where=pattern,
            remedy=f"write {PLACEHOLDER} for the whole number",
        )
    pattern_of_paths = as_glob(pattern)
    expression = compile_pattern(pattern_of_paths)
    labels: dict[str, Label] = {}
    for path, files_of_path in _matches(pattern_of_paths):
        candidates = labels_in(path, expression)
        if len(candidates) > 1 and any(map(format_of, files_of_path)):
            _refuse_ambiguous(pattern, path, *sorted(label.text for label in candidates))
        if len(candidates) != 1:
            continue
        (label,) = candidates
        for file in files_of_path:
            if labels.setdefault(file, label) != label and format_of(file):
                _refuse_ambiguous(pattern, file, labels[file].text, label.text)
    return _grouped(labels, pattern)


def choose_span(
    spans: Sequence[Span], pattern: str, requested: str, to_skip: Collection[int]
) -> Span:
    """The span that a run takes.

    Args:
        spans: the spans that exist, in order.
        pattern: the input with `{SPAN}`.
        requested: a label, "latest" for the last span, or "next" for the first span that is not to
            be skipped.
        to_skip: numbers of the spans that "next" skips, see pipeline/span_history.py. An input
            without `{SPAN}` is never skipped.

    Raises:
        ConfigError: `requested` is not a span.
        DataRefused: the span does not exist.
        NothingNew: "next" skips all spans.
    """
    if not spans:
        raise DataRefused(
            "no file matches the input",
            where=pattern,
            remedy=f"check the path; {PLACEHOLDER} stands for a number, or a date as 2024-05-01 or"
            f" 2024-05; supported formats are {FORMATS}",
        )
    if requested == "latest":
        return spans[-1]
    if requested == "next":
        for span in spans:
            if span.number not in to_skip or PLACEHOLDER not in pattern:
                return span
        count = "1 span exists" if len(spans) == 1 else f"{len(spans)} spans exist"
        raise NothingNew(
            f"no span is left for `next`: {count}, the last is {spans[-1].label}",
            where=pattern,
            remedy="`python -m pipeline spans` lists them; use --span to run on one of them again",
        )
    number = span_number(requested)
    for span in spans:
        if span.number == number:
            return span
    listed = ", ".join(span.label for span in spans[:_MAX_LISTED])
    listed += f", …, {spans[-1].label}" if len(spans) > _MAX_LISTED else ""
    raise DataRefused(
        f"span {requested} does not exist", where=pattern, remedy=f"choose one of: {listed}"
    )


def _matches(pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Each path that the pattern may match for any span, and the files at the path."""
    last_part = pattern.rpartition("/")[2]
    search_folders = PLACEHOLDER in last_part or not glob.has_magic(last_part)
    for path in sorted(set(glob.glob(pattern.replace(PLACEHOLDER, "[0-9]*"), recursive=True))):
        if os.path.isdir(path):
            yield path, files_below(path) if search_folders else []
        else:
            yield path, [path]


def _grouped(labels: Mapping[str, Label], pattern: str) -> list[Span]:
    """The spans of files with labels, in order."""
    paths: dict[Label, list[str]] = {}
    for file in sorted(labels):
        paths.setdefault(labels[file], []).append(file)
    selected = {label: select_files(each) for label, each in paths.items()}
    selected = {label: each for label, each in selected.items() if each.files}
    first_files = {label: _name(each.files[0], pattern) for label, each in selected.items()}
    _refuse_mixed_kinds(first_files, pattern)
    label_by_number: dict[int, Label] = {}
    for label, name in first_files.items():
        if len(label.text) > MAX_DIGITS:
            raise ConfigError(
                f"the span of {name} has more than {MAX_DIGITS} digits",
                where=pattern,
                remedy="use shorter numbers for spans",
            )
        other = label_by_number.setdefault(label.number, label)
        if other != label:
            raise ConfigError(
                f"{other.text} and {label.text} are the same span: {first_files[other]} and {name}",
                where=pattern,
                remedy="rename the files, so that all files of a span have the same label",
            )
    return [
        Span(
            number,
            label.normalized,
            pattern,
            tuple(selected[label].files),
            selected[label].skipped_in_words(),
        )
        for number, label in sorted(label_by_number.items())
    ]


def _refuse_mixed_kinds(first_files: Mapping[Label, str], pattern: str) -> None:
    """Raises ConfigError if the labels are of several kinds."""
    example_by_kind = {label.kind: name for label, name in first_files.items()}
    if len(example_by_kind) > 1:
        examples = " and ".join(f"{kind} in {name}" for kind, name in example_by_kind.items())
        raise ConfigError(
            f"spans of different kinds have no order: {PLACEHOLDER} is {examples}",
            where=pattern,
            remedy="give a pattern that matches files of one kind, or rename the other files",
        )


def _refuse_ambiguous(pattern: str, file: str, *labels: str) -> NoReturn:
    raise ConfigError(
        f"the span of {_name(file, pattern)} can be read as {' or '.join(labels)}",
        where=pattern,
        remedy=f"write more of the file names into the pattern, so that {PLACEHOLDER} fits in only"
        " one place, or rename the file",
    )


def _name(file: str, pattern: str) -> str:
    """A file's path below the folders that the pattern spells out, for messages."""
    root = re.split(r"\{SPAN\}|[*?[]", pattern)[0].rpartition("/")[0] or "/"
    return printable_path(os.path.relpath(file, root))
