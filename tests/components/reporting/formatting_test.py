"""Numbers, names, intervals and bounds as a reader of the report sees them."""

import math

import pytest

from components.evaluation.bootstrap import Interval
from components.reporting.formatting import bounds, change, number, title, to_text, with_interval
from models.metric import Metric


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (1234567, "1,234,567"),
        (163.7, "164"),
        (12345.6, "12,346"),
        (26.04, "26.0"),
        (2.6, "2.60"),
        (0.19, "0.190"),
        (-0.02, "-0.020"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("masked_lm_nll_sum", "masked-LM loss"),
        ("masked_lm_accuracy", "masked-LM accuracy"),
        ("next_sentence_accuracy", "next sentence accuracy"),
        ("train", "train"),
    ],
)
def test_title(name, words):
    assert title(name) == words


def test_an_interval_follows_its_value():
    assert with_interval(0.5, Interval(0.5, 0.4, 0.6)) == "0.500 [0.400, 0.600]"
    assert with_interval(0.5, None) == "0.500"
    assert with_interval(0.5, Interval(0.5, -math.inf, math.inf)) == "0.500"
    assert change(Interval(-1.5, -2.0, -1.0)) == "-1.50 [-2.00, -1.00]"
    assert change(None) == "–"


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric("a", "b", "c"), ""),
        (Metric("a", "b", "c", lower_bound=0.1), "at least 0.100 (worse end)"),
        (Metric("a", "b", "c", upper_bound=6.0, end="better"), "at most 6.00 (better end)"),
        (
            Metric("a", "b", "c", upper_bound=6.0, max_regression=0.05),
            "at most 6.00; at most 0.050 worse than the last blessed (worse end)",
        ),
    ],
)
def test_bounds_are_written_in_words(metric, text):
    assert bounds(metric) == text


def test_text_of_a_signature_is_utf_8():
    assert to_text("港".encode()) == "港"
    assert to_text(b"\xe6") == "\ufffd"
    assert to_text("x") == "x"
