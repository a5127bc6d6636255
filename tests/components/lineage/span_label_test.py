"""Tests of the labels of spans."""

import datetime

import pytest

from components.lineage.span_label import span_label


@pytest.mark.parametrize(
    ("number", "label", "shown"),
    [
        (7, None, "7"),
        (7, "", "7"),
        (7, "007", "007"),
        (0, None, "0"),
        (datetime.date(2024, 5, 1).toordinal(), None, "2024-05-01"),
        (datetime.date(2024, 5, 1).toordinal(), "2024-05", "2024-05"),
        (datetime.date(1699, 12, 31).toordinal(), None, "620547"),
        (datetime.date(1700, 1, 1).toordinal(), None, "1700-01-01"),
        (datetime.date(2200, 12, 31).toordinal(), None, "2200-12-31"),
        (803902, None, "803902"),
        (20240501, None, "20240501"),
        (10**30, None, "1" + "0" * 30),
    ],
)
def test_the_label_or_the_date_or_the_number(number: int, label: str | None, shown: str) -> None:
    assert span_label(number, label) == shown
