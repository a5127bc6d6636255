"""Reads JSON Lines files: each record is a JSON object, usually on a line of its own."""

from __future__ import annotations

import collections
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.readers.lines import Line, Lines
from components.readers.parts import is_blank
from components.readers.records import Fault, Row

_SEPARATORS = " \t\r\n\ufeff"
_BOUNDARY = re.compile(rb"\}(?:[ \t\r]|\xef\xbb\xbf)*\{")


def json_rows(lines: Lines) -> Iterator[Row]:
    """Yields the objects of each line that is not blank: usually one, sometimes several."""
    for line in lines:
        if line.fault or not is_blank(line.data):
            objects = [] if line.fault else _several_objects(line.data)
            for value in objects:
                yield Row(line.number, line.start, functools.partial(dict, value))
            if not objects:
                yield Row(line.number, line.start, functools.partial(_parse_object, line))


def _several_objects(data: bytes) -> list[Mapping[str, Any]]:
    """The objects of a line that has more than one, from files concatenated without a line end.

    Empty for any other line, including malformed lines.
    """
    if data.count(b"}") < 2 or not _BOUNDARY.search(data):
        return []
    objects: list[Mapping[str, Any]] = []
    try:
        text, at = data.decode(), 0
        while at < len(text):
            value, at = _DECODER.raw_decode(text, at)
            while at < len(text) and text[at] in _SEPARATORS:
                at += 1
            if not isinstance(value, dict):
                return []
            objects.append(_without_duplicate_keys(value))
    except (ValueError, RecursionError, Fault):
        return []  # `_parse_object` reports the error
    return objects if len(objects) > 1 else []


def _parse_object(line: Line) -> Mapping[str, Any]:
    text = line.text()
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Fault(f"not JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # a number with too many digits, deep nesting
        raise Fault(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Fault(f"not a JSON object: {type(value).__name__}")
    return _without_duplicate_keys(value)


class _DuplicateKeys(dict[str, Any]):
    """Replaces a JSON object with duplicate keys; maps each key to its number of occurrences."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    return _DuplicateKeys(collections.Counter(key for key, _ in pairs))


def _without_duplicate_keys(value: dict[str, Any]) -> Mapping[str, Any]:
    """The object. Duplicate keys are a fault, but not in objects nested in it."""
    if isinstance(value, _DuplicateKeys):
        key = next(key for key, count in value.items() if count > 1)
        raise Fault(f"duplicate key: {key!r:.60}")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
