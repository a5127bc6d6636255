"""Tests of the descriptions of allowed values."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import pydantic
import pytest

from models.allowed_values import allowed, allowed_at, families_at, nearest_field


@dataclasses.dataclass(frozen=True)
class Lake:
    depth: pydantic.PositiveInt = 1
    family: Literal["lake"] = "lake"


@dataclasses.dataclass(frozen=True)
class Sea:
    salt: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    family: Literal["sea"] = "sea"


@dataclasses.dataclass(frozen=True)
class Map:
    water: Annotated[Lake | Sea, pydantic.Field(discriminator="family")] = Lake()
    names: tuple[str, ...] = ()
    towns: tuple[Lake, ...] = ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (pydantic.PositiveInt, "a whole number above 0"),
        (pydantic.NonNegativeFloat, "a number of 0 or more"),
        (Annotated[float, pydantic.Field(ge=0, le=1)], "a number from 0 to 1"),
        (Annotated[float, pydantic.Field(gt=0, le=1)], "a number above 0 and up to 1"),
        (pydantic.PositiveInt | None, "a whole number above 0, or None"),
        (Literal["auto", True, False], "one of auto, True, False"),
        (Literal["one"], "one of one"),
        (bool, "True or False"),
        (tuple[str, ...], "a list"),
        (str, "a text"),
    ],
)
def test_a_type_is_described_in_words(kind: Any, words: str) -> None:
    assert allowed(kind) == words


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("water", "lake", "depth"), "a whole number above 0"),
        (("water", "sea", "salt"), "a number from 0 to 1"),
        (("names",), "a list"),
        (("names", 3), "a text"),
        (("towns", 0, "depth"), "a whole number above 0"),
        (("water",), "an object that has its fields"),
        ((), "an object that has its fields"),
    ],
)
def test_a_field_is_described_in_words(place: tuple[int | str, ...], words: str) -> None:
    assert allowed_at(Map, place) == words


def test_the_families_of_a_union_are_listed() -> None:
    assert families_at(Map, ("water",)) == "lake or sea"


def test_an_unknown_field_gets_a_suggestion_from_its_own_family() -> None:
    assert nearest_field(Map, ("water", "lake", "deptth")) == (
        "did you mean depth? Else leave it out"
    )
    assert nearest_field(Map, ("water", "sea", "x")) == "leave it out; the fields are salt, family"
