"""Tests of parsing timestamps."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.readers.timestamps import BadTimestamp, parse_timestamp


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        ("", 0),
        (0, 0),
        (-5679590400, -5679590400),
        (1.9, 1),
        (-0.5, -1),
        ("2001-02-27", 983232000),
        ("1790-01-08", -5679590400),
        ("2001-02-27T00:00:01Z", 983232001),
        ("2001-02-27 02:00:01.999+02:00", 983232001),
        ("2001-02-27T00:01", 983232060),
        (datetime.date(1970, 1, 2), 86400),
    ],
)
def test_seconds(value: Any, expected: int) -> None:
    assert parse_timestamp(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "20010227", "2001-02-30", "2001-W09-2", "983232000", True, 2**63, 10**400, float("nan"),
        float("inf"), {}, [1], "٢٠٠١-٠٢-٢٧",
    ],
)  # fmt: skip
def test_bad_timestamps(value: Any) -> None:
    with pytest.raises(BadTimestamp):
        parse_timestamp(value)


@pytest.mark.parametrize("value", [1_700_000_000_000, 1_700_000_000_000_000, 32_503_680_000])
def test_milliseconds_are_not_accepted_as_seconds(value: int) -> None:
    with pytest.raises(BadTimestamp, match="are these milliseconds"):
        parse_timestamp(value)
    assert parse_timestamp(32_503_679_999) == 32_503_679_999  # the last second of the year 2999


@given(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(2999, 12, 31)))  # noqa: DTZ001
def test_any_time_is_parsed_in_each_form(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    expected = int((moment - datetime.datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001
    assert [*map(parse_timestamp, (moment, moment.isoformat(), expected))] == [expected] * 3
