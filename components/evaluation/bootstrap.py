"""Intervals of ratios of sums, by resampling the units that the sums are of.

A unit is a part of the text that has nothing to do with the other parts. Two models are evaluated
on the same text, so one draw of units gives a resample of both: the bootstrap is paired.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import special

from components.evaluation.units import LEAST_UNITS

_BLOCK = 256  # resamples drawn at a time, which bounds the memory


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and the ends of its interval; NaN as a value where there is nothing to divide by."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def resampled_sums(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over units that are drawn with replacement, as many as there are.

    The draws depend on the number of units, of resamples and the seed alone.

    Args:
        sums: float64 `[units, sums]`.
        resamples: how often.
        seed: of the draws.

    Returns:
        float64 `[resamples, sums]`.
    """
    units = len(sums)
    rng = np.random.default_rng((seed, units, resamples))
    drawn = np.zeros((resamples, sums.shape[1]))
    if not sums.size:
        return drawn
    shares = np.full(units, 1.0 / units)
    for begin in range(0, resamples, _BLOCK):
        part = drawn[begin : begin + _BLOCK]
        # NaN of a broken model is to stay NaN, without a warning.
        with np.errstate(invalid="ignore"):
            part[:] = rng.multinomial(units, shares, len(part)) @ sums
    return drawn


def ratio(numerator: np.ndarray, denominator: np.ndarray, *, exponentiate: bool) -> np.ndarray:
    """Numerator / denominator, or exp of that; 0 / 0 is NaN, and x / 0 infinite."""
    with np.errstate(all="ignore"):
        found = np.divide(numerator, denominator)
        return np.exp(found) if exponentiate else found


def interval(
    value: float,
    resampled: np.ndarray,
    units: int,
    confidence: float,
    *,
    lowest: float = -math.inf,
) -> Interval:
    """The interval of a figure, the percentiles of its resamples.

    Percentiles of few units are too close together: they know neither that the spread is an
    estimate nor that it is one of units - 1 differences. They are therefore taken further out, as
    far as Student's distribution is wider than the normal one (Hesterberg, 2015, "What Teachers
    Should Know About the Bootstrap", section 5.3).

    Args:
        value: the figure over all units.
        resampled: it in each resample, `[resamples]`. NaN may be anything.
        units: how many units there are. Fewer than `LEAST_UNITS` say nothing.
        confidence: the probability with which the interval holds the truth; one half of the rest
            is left for either end.
        lowest: the least value that the figure can have.
    """
    if units < LEAST_UNITS:
        return Interval(value, lowest, math.inf)
    quantile = special.stdtrit(units - 1, (1 - confidence) / 2) * math.sqrt(units / (units - 1))
    tail = float(special.ndtr(quantile))
    low, high = (np.where(np.isnan(resampled), worst, resampled) for worst in (lowest, math.inf))
    return Interval(
        value,
        float(np.quantile(low, tail, method="lower")),
        float(np.quantile(high, 1 - tail, method="higher")),
    )
