"""Tests of the text of errors, and of pickling them."""

import copy
import inspect
import pickle

import pytest

from models import errors
from models.errors import (
    ConfigError,
    DataRefused,
    InUse,
    PolysemeError,
    Preempted,
    ServingCheckFailed,
    TrainingDiverged,
)

KINDS = [
    PolysemeError,
    ConfigError,
    DataRefused,
    InUse,
    Preempted,
    ServingCheckFailed,
    TrainingDiverged,
]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataRefused("Too few."), "Too few."),
        (
            DataRefused("Too few.", where="a.jsonl:3"),
            "Too few.\n  where: a.jsonl:3",
        ),
        (
            ConfigError("The width is odd.", remedy="Give an even one."),
            "The width is odd.\n  to do: Give an even one.",
        ),
        (
            TrainingDiverged("The loss is nan.", where="step 7", remedy="Lower the rate."),
            "The loss is nan.\n  where: step 7\n  to do: Lower the rate.",
        ),
        (PolysemeError("Two\nlines.", where="", remedy=""), "Two\nlines."),
    ],
)
def test_an_error_says_what_where_and_what_to_do(error: PolysemeError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("where", "remedy"), [("a.txt:1", "Do it."), ("b", None), (None, None)])
def test_a_pickled_error_is_restored(
    kind: type[PolysemeError], where: str | None, remedy: str | None
) -> None:
    error = kind("Wrong.", where=where, remedy=remedy)
    for copied in (
        pickle.loads(pickle.dumps(error)),  # noqa: S301  our own bytes
        copy.deepcopy(error),
    ):
        assert type(copied) is kind
        assert (copied.what, copied.where, copied.remedy) == ("Wrong.", where, remedy)
        assert str(copied) == str(error)


def test_every_error_is_a_polyseme_error() -> None:
    defined = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, BaseException)
    ]
    assert set(defined) == set(KINDS)
    assert all(issubclass(kind, PolysemeError) for kind in KINDS)


def test_where_and_remedy_are_keyword_arguments() -> None:
    with pytest.raises(TypeError):
        DataRefused("Too few.", "a.jsonl:3")  # type: ignore[misc]
