"""Intervals contain the true value at their nominal rate, also with few and unequal units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluation.bootstrap import Interval, interval, ratio, resampled_sums


def test_the_same_seed_draws_the_same_units_for_any_sums() -> None:
    sums = np.arange(10.0)[:, None]
    drawn = resampled_sums(np.hstack([sums, 2 * sums]), 600, seed=1)
    assert drawn.shape == (600, 2)
    assert np.array_equal(drawn[:, 1], 2 * drawn[:, 0])
    assert np.array_equal(drawn[:, :1], resampled_sums(sums, 600, seed=1))
    assert not np.array_equal(drawn[:, :1], resampled_sums(sums, 600, seed=2))


def test_a_resample_has_as_many_units_as_there_are() -> None:
    assert resampled_sums(np.ones((7, 1)), 300, seed=0).ravel().tolist() == [7.0] * 300


def test_the_spread_of_resamples_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    drawn = resampled_sums(values[:, None], 4_000, seed=0) / 400
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_ratios_with_zero_denominators() -> None:
    found = ratio(np.array([1.0, 0.0, 2.0]), np.array([0.0, 0.0, 1.0]), exponentiate=False)
    assert found[0] == math.inf
    assert math.isnan(found[1])
    assert found[2] == 2.0
    assert ratio(np.array([1e6]), np.array([1.0]), exponentiate=True) == [math.inf]


def test_fewer_than_five_units_give_an_unbounded_interval() -> None:
    drawn = np.linspace(1.0, 2.0, 2_000)
    assert interval(1.5, drawn, 4, 0.95) == Interval(1.5, -math.inf, math.inf)
    assert interval(1.5, drawn, 4, 0.95, lowest=0.0) == Interval(1.5, 0.0, math.inf)
    assert math.isfinite(interval(1.5, drawn, 5, 0.95).high)


def test_few_units_widen_the_interval_by_students_distribution() -> None:
    drawn = np.random.default_rng(0).normal(size=200_000)
    many = interval(0.0, drawn, 100_000, 0.95)
    few = interval(0.0, drawn, 6, 0.95)
    assert (many.low, many.high) == pytest.approx((-1.96, 1.96), abs=0.02)
    # Student's t with 5 degrees of freedom, 2.571, times the square root of 6/5.
    assert (few.low, few.high) == pytest.approx((-2.816, 2.816), abs=0.1)


def test_nan_resamples_widen_both_ends() -> None:
    drawn = np.full(2_000, 1.0)
    drawn[:200] = math.nan
    assert interval(1.0, drawn, 1_000, 0.95, lowest=0.0) == Interval(1.0, 0.0, math.inf)


@pytest.mark.parametrize("units", [6, 12, 40])
def test_the_true_value_is_outside_either_end_at_the_nominal_rate(units: int) -> None:
    """Documents of unequal length; two models differ by an effect per document and per token."""
    rng = np.random.default_rng(units)
    missed = np.zeros(2)
    trials = 1_000
    for _ in range(trials):
        tokens = rng.lognormal(0, 0.8, units) * 2_000
        change = rng.normal(0, 0.02, units) * tokens + rng.normal(0, 1, units) * np.sqrt(tokens)
        drawn = resampled_sums(np.stack([change, tokens], axis=1), 1_000, seed=0)
        value = change.sum() / tokens.sum()
        found = interval(value, drawn[:, 0] / drawn[:, 1], units, 0.95)
        missed += [found.low > 0, found.high < 0]
    assert missed / trials == pytest.approx([0.025, 0.025], abs=0.02)
