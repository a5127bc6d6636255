"""The labels that a path can have for a pattern, and labels as users write them."""

from __future__ import annotations

import datetime

import pytest

from pipeline.span_labels import DAY, MONTH, NUMBER, Label, compile_pattern, labels_in, parse_label

MAY_1 = datetime.date(2024, 5, 1).toordinal()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("007", Label(NUMBER, 7, "007")),
        ("2024_05_01", Label(DAY, MAY_1, "2024_05_01")),
        ("2024.05", Label(MONTH, MAY_1, "2024.05")),
        ("2024-02-30", None),
        ("1" * 19, None),
        ("next", None),
    ],
)
def test_a_label_is_a_number_a_day_or_a_month(text: str, label: Label | None) -> None:
    assert parse_label(text) == label


def test_dates_are_written_with_hyphens_and_numbers_as_they_are() -> None:
    labels = [parse_label(text) for text in ("2024_05_01", "2024.05", "007")]
    assert [label.normalized for label in labels if label] == ["2024-05-01", "2024-05", "007"]


@pytest.mark.parametrize(
    ("pattern", "path", "texts"),
    [
        ("/a/{SPAN}.txt", "/a/7.txt", {"7"}),
        ("/a/{SPAN}.txt", "/a/b/7.txt", set()),
        ("/a/*{SPAN}*", "/a/v2-10.txt", {"2", "10"}),
        ("/a/*{SPAN}*", "/a/v2-2024-05-01.txt", {"2024-05-01"}),
        ("/a/2024-{SPAN}-01.txt", "/a/2024-05-01.txt", {"05"}),
        ("/a/**/{SPAN}/x", "/a/b/c/7/x", {"7"}),
        ("/a/{SPAN}/{SPAN}.txt", "/a/1/1.txt", {"1"}),
        ("/a/{SPAN}/{SPAN}.txt", "/a/1/11.txt", set()),
        ("/a/[!b]{SPAN}", "/a/c7", {"7"}),
        ("/a/[!b]{SPAN}", "/a/b7", set()),
    ],
)
def test_labels_are_found_at_the_placeholder_of_the_pattern(
    pattern: str, path: str, texts: set[str]
) -> None:
    assert {label.text for label in labels_in(path, compile_pattern(pattern))} == texts
