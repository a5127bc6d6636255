"""Tests of the choice of the slices that a report shows."""

from components.reporting.inputs import largest_slices


def test_the_largest_slices_of_each_feature_are_shown_and_the_others_counted():
    sources = {f"source=s{number:03}": number for number in range(1, 101)}
    slices = {"length=long": 2, "length=short": 3, "overall": 5050, **sources}
    shown, more = largest_slices(slices)
    largest = [f"source=s{number:03}" for number in range(100, 80, -1)]
    assert shown == ["overall", "length=short", "length=long", *largest]
    assert more == ["Not shown: 80 more values of source, with 3,240 examples (64.2%)."]
    assert largest_slices({}) == ([], [])
