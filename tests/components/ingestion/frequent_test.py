"""Tests of counting frequent values and the rest."""

from __future__ import annotations

from components.ingestion.frequent import (
    add_counts,
    drop_rare,
    most_frequent,
    with_rest_as_other,
)


def test_rare_names_of_a_shard_are_left_out() -> None:
    assert drop_rare({"a": 1_997, "b": 2, "c": 1}) == {"a": 1_997, "b": 2}
    assert drop_rare({"a": 998, "b": 1, "c": 1}) == {"a": 998, "b": 1, "c": 1}
    assert drop_rare({str(n): 1 for n in range(2_000)}) == {}
    assert drop_rare({}) == {}


def test_counts_are_added_by_name() -> None:
    assert add_counts([{"a": 1}, {}, {"a": 2, "b": 1}]) == {"a": 3, "b": 1}


def test_the_most_frequent_names_and_the_rest() -> None:
    counts = {"b": 2, "a": 2, "c": 5, "other": 1}
    assert most_frequent(counts, 2) == {"c": 5, "a": 2}
    assert with_rest_as_other(counts, 2) == {"c": 5, "a": 2, "other": 3}
    assert with_rest_as_other(counts, 9) == counts
    assert with_rest_as_other({"other": 9, "a": 1, "b": 1}, 1) == {"other": 11}
