"""JSON Lines: a record is an object, as a rule on a line of its own."""

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

_BETWEEN = " \t\r\n\ufeff"
_JOINT = re.compile(rb"\}(?:[ \t\r]|\xef\xbb\xbf)*\{")


def json_rows(lines: Lines) -> Iterator[Row]:
    """Yields the object of each line that is not blank, several of a line that has them."""
    for line in lines:
        if line.fault or not is_blank(line.data):
            objects = [] if line.fault else _joined(line.data)
            for value in objects:
                yield Row(line.number, line.start, functools.partial(dict, value))
            if not objects:
                yield Row(line.number, line.start, functools.partial(_json, line))


def _joined(data: bytes) -> list[Mapping[str, Any]]:
    """The objects of a line that has several, as where files were joined without a line end."""
    if data.count(b"}") < 2 or not _JOINT.search(data):
        return []
    found: list[Mapping[str, Any]] = []
    try:
        text, at = data.decode(), 0
        while at < len(text):
            value, at = _DECODER.raw_decode(text, at)
            while at < len(text) and text[at] in _BETWEEN:
                at += 1
            if not isinstance(value, dict):
                return []
            found.append(_plain(value))
    except (ValueError, RecursionError, Fault):
        return []  # `_json` says what is wrong
    return found if len(found) > 1 else []


def _json(line: Line) -> Mapping[str, Any]:
    text = line.text()
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Fault(f"not JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # a number of too many digits, deep nesting
        raise Fault(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Fault(f"not a JSON object: {type(value).__name__}")
    return _plain(value)


class _Repeated(dict[str, Any]):
    """Counts the keys of a JSON object that has one twice: nobody knows which value is meant."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return (
        value if len(value) == len(pairs) else _Repeated(collections.Counter(k for k, _ in pairs))
    )


def _plain(value: dict[str, Any]) -> Mapping[str, Any]:
    if isinstance(value, _Repeated):  # an object inside of it may have a key twice
        key = next(key for key, count in value.items() if count > 1)
        raise Fault(f"duplicate key: {key!r:.60}")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
