"""Bootstrap confidence intervals of ratios of sums, by resampling the units that are summed.

A unit is a part of the text that is independent of the other parts. Two models are evaluated on the
same text, so one draw of units gives a resample of both: the bootstrap is paired.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import special

from components.evaluation.resampling_units import MIN_UNITS

_RESAMPLES_AT_ONCE = 256  # bounds the memory


@dataclasses.dataclass(frozen=True)
class Interval:
    """A statistic and its confidence interval; `value` is NaN for 0 / 0."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def resampled_sums(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over units that are drawn with replacement, as many units as there are.

    The draws depend only on the number of units, the number of resamples and the seed.

    Args:
        sums: float64 `[units, sums]`.
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        float64 `[resamples, sums]`.
    """
    units = len(sums)
    rng = np.random.default_rng((seed, units, resamples))
    drawn = np.zeros((resamples, sums.shape[1]))
    if not sums.size:
        return drawn
    probabilities = np.full(units, 1.0 / units)
    for begin in range(0, resamples, _RESAMPLES_AT_ONCE):
        part = drawn[begin : begin + _RESAMPLES_AT_ONCE]
        # The NaN of a broken model stays NaN, without a warning.
        with np.errstate(invalid="ignore"):
            part[:] = rng.multinomial(units, probabilities, len(part)) @ sums
    return drawn


def ratio(numerator: np.ndarray, denominator: np.ndarray, *, exponentiate: bool) -> np.ndarray:
    """Numerator / denominator, or exp of it; 0 / 0 is NaN, and x / 0 is infinite."""
    with np.errstate(all="ignore"):
        quotient = np.divide(numerator, denominator)
        return np.exp(quotient) if exponentiate else quotient


def interval(
    value: float,
    resampled: np.ndarray,
    units: int,
    confidence: float,
    *,
    lowest: float = -math.inf,
) -> Interval:
    """The percentile interval of a statistic, widened for a small number of units.

    With few units, the usual percentiles are too close together: they ignore that the spread is
    itself estimated, from only units - 1 differences. The ends are therefore percentiles further
    out, by as much as Student's distribution is wider than the normal distribution (Hesterberg,
    2015, "What Teachers Should Know About the Bootstrap", section 5.3).

    Args:
        value: the statistic over all units.
        resampled: the statistic of each resample, `[resamples]`. A NaN could be any value, so it
            counts as the lowest value for the lower end, and as infinity for the upper end.
        units: number of units. Below `MIN_UNITS` the interval is unbounded.
        confidence: probability with which the interval holds the true value; the two tails share
            the rest equally.
        lowest: the smallest value that the statistic can have.
    """
    if units < MIN_UNITS:
        return Interval(value, lowest, math.inf)
    quantile = special.stdtrit(units - 1, (1 - confidence) / 2) * math.sqrt(units / (units - 1))
    tail = float(special.ndtr(quantile))
    low, high = (np.where(np.isnan(resampled), worst, resampled) for worst in (lowest, math.inf))
    return Interval(
        value,
        float(np.quantile(low, tail, method="lower")),
        float(np.quantile(high, 1 - tail, method="higher")),
    )
