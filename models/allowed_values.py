"""Describes in words the values that a field of a configuration may have, for error messages."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "True or False",
    "null": "None",
    "array": "a list",
    "object": "an object",
}


def allowed(kind: Any) -> str:
    """The values of a type and their bounds: "a whole number of 1 or more".

    Args:
        kind: a field's type, as `typing.get_type_hints(…, include_extras=True)` returns it.
    """
    return _in_words(pydantic.TypeAdapter(kind).json_schema())


def allowed_at(kind: type, place: Sequence[int | str]) -> str:
    """The values of a field of a dataclass or of a nested one; empty if there is no such field.

    Args:
        kind: the dataclass.
        place: the location of an error as pydantic reports it: names of fields and indices of
            items. After a field whose class depends on the family, it contains the family's name.
    """
    types_there = _types_at(kind, place)
    if any(map(_fields_of, (option for each in types_there for option in _options(each)))):
        return "an object that has its fields"
    return allowed(types_there[0]) if len(types_there) == 1 else ""


def families_at(kind: type, place: Sequence[int | str]) -> str:
    """The names of the families that a nested configuration of a model may have.

    Args:
        kind, place: see `allowed_at`.
    """
    options = [option for each in _types_at(kind, place) for option in _options(each)]
    return " or ".join(option.family for option in options)


def nearest_field(kind: type, place: Sequence[int | str]) -> str:
    """The remedy for a field that a dataclass does not have: a similar name, or all names.

    Args:
        kind, place: see `allowed_at`.
    """
    owners = _types_at(kind, place[:-1])
    names = [field.name for owner in owners for field in _fields_of(owner)]
    near = difflib.get_close_matches(str(place[-1]), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}? Else leave it out"
    return f"leave it out; the fields are {', '.join(names)}"


def _types_at(kind: Any, place: Sequence[int | str]) -> list[Any]:
    """The types that the value at a place may have: several for a union."""
    found = [kind]
    for step in place:
        options = [option for each in found for option in _options(each)]
        if isinstance(step, int):  # an item of a tuple, whose items have one type
            found = [typing.get_args(option)[0] for option in options if typing.get_args(option)]
            continue
        hints = [
            typing.get_type_hints(option, include_extras=True)[step]
            for option in options
            if step in {field.name for field in _fields_of(option)}
        ]
        tagged = [option for option in options if getattr(option, "family", None) == step]
        found = hints or tagged or found
    return found


def _options(kind: Any) -> Iterator[Any]:
    """The alternatives of a union; for another type, the type itself."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        yield from typing.get_args(kind)
    else:
        yield kind


def _fields_of(kind: Any) -> Sequence[dataclasses.Field[Any]]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def _in_words(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return ", or ".join(map(_in_words, schema["anyOf"]))
    if "const" in schema:
        return f"one of {schema['const']}"
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    word = _WORDS.get(schema.get("type", ""), "another value")
    return " ".join(filter(None, [word, _range(schema)]))


def _range(schema: Mapping[str, Any]) -> str:
    """The bounds of a number in words; empty if it has none."""
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    phrases = {
        "minimum": "of {} or more",
        "exclusiveMinimum": "above {}",
        "maximum": "up to {}",
        "exclusiveMaximum": "below {}",
    }
    return " and ".join(
        phrase.format(schema[bound]) for bound, phrase in phrases.items() if bound in schema
    )
