"""Numbers, names of metrics, intervals and bounds as the report writes them."""

from __future__ import annotations

import math

from components.evaluation.bootstrap import Interval
from models.metric import Metric

MISSING = "–"
"""The text shown for a value that does not exist."""


def number(value: float | None) -> str:
    """A number with about three significant digits; a dash if it is missing or NaN."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if isinstance(value, int) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def title(name: str) -> str:
    """The name of a metric or a sum in words: `masked_lm_nll_sum` → `masked-LM loss`."""
    words = name.removesuffix("_sum").replace("nll", "loss").replace("_", " ")
    return words.replace("masked lm", "masked-LM")


def with_interval(value: float, interval: Interval | None) -> str:
    """A value and the ends of its interval, `0.50 [0.40, 0.60]`; the value alone without one."""
    if interval is None or (math.isinf(interval.high) and not math.isinf(interval.value)):
        return number(value)
    return f"{number(value)} [{number(interval.low)}, {number(interval.high)}]"


def change(interval: Interval | None) -> str:
    """A change with its interval; a dash without one."""
    return MISSING if interval is None else with_interval(interval.value, interval)


def bounds(metric: Metric) -> str:
    """What a metric must be for its model to be blessed; empty if it has no bound."""
    conditions = []
    if metric.lower_bound is not None:
        conditions.append(f"at least {number(metric.lower_bound)}")
    if metric.upper_bound is not None:
        conditions.append(f"at most {number(metric.upper_bound)}")
    if metric.max_regression is not None:
        conditions.append(f"at most {number(metric.max_regression)} worse than the last blessed")
    return f"{'; '.join(conditions)} ({metric.end} end)" if conditions else ""


def to_text(value: bytes | str) -> str:
    """A string that a model's signature returned, bytes in UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
