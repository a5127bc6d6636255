"""Whether a model is blessed: its metrics' bounds against the ends of their intervals.

The rule: a bound holds if the end of the interval that `Metric.end` names meets it. With "worse",
the default, a model has to be shown to meet the bound; with "better" it is refused only if it is
shown to miss it. Either way the probability of an error that luck decides is known: a model whose
true value is the bound passes with (1 - confidence) / 2 in the one case, and is refused with
(1 - confidence) / 2 in the other. The value itself decides nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.config import EvaluationConfig
from components.evaluation.bootstrap import Interval, interval, ratio, resampled_sums
from components.evaluation.units import LEAST_UNITS
from models.objective import Metric

Sums = Mapping[str, np.ndarray]
"""Sums of one model by the name of its output: float64 `[units]`."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the sums of a model, and of the served one, come to.

    Attributes:
        metrics: the model's metrics by name. One whose sums divide by 0 is NaN.
        served: those of the served model that can be computed; None if there is no such model.
        changes: the model's metrics less the served model's, paired, where both have them.
        units: how many units were resampled.
        documents: whether units are blocks of documents. If they are not, documents were too few,
            and units are parts of blocks: the intervals then hold for more text of these
            documents, and know nothing of others.
        confidence: the probability with which an interval holds the true value.
        reasons: why the model is not blessed, in sentences; empty if it is.
        notes: bounds that could not be judged and were left out, and why, in sentences.
    """

    metrics: Mapping[str, Interval]
    served: Mapping[str, float] | None
    changes: Mapping[str, Interval]
    units: int
    documents: bool
    confidence: float
    reasons: Sequence[str]
    notes: Sequence[str]

    @property
    def blessed(self) -> bool:
        """Whether every bound holds."""
        return not self.reasons

    def resampled(self) -> str:
        """What was resampled, and which end is which, in sentences."""
        if self.units < LEAST_UNITS:
            return f"The text has {self.units} parts, too few for intervals."
        told = f"Intervals of {self.confidence:.0%} confidence, by resampling {self.units:,} "
        told += (
            "blocks of documents."
            if self.documents
            else "parts of the text: it has too few documents to resample these, so that the "
            "intervals hold for more text of the same documents and not for others."
        )
        return (
            f"{told} The change is paired: both models on the same resample. A bound holds for the "
            "worse end if the model has to be shown to meet it, for the better end if it is "
            "refused only where it is shown to miss it."
        )


def judge(
    metrics: Sequence[Metric],
    candidate: Sums,
    served: Sums | None,
    config: EvaluationConfig,
    *,
    documents: bool = True,
) -> Judgement:
    """Metrics with their intervals, and whether their bounds hold.

    Args:
        metrics: an objective's.
        candidate: the sums of the model to be judged, with every output that `metrics` name.
        served: the last blessed model's on the same units. Metrics whose outputs it lacks are not
            compared.
        config: confidence and resamples.
        documents: whether a unit is a block of documents.
    """
    ours = _Resampled(candidate, config)
    theirs = _Resampled(served, config) if served is not None else None
    found: dict[str, Interval] = {}
    before: dict[str, float] = {}
    changes: dict[str, Interval] = {}
    reasons: list[str] = []
    notes: list[str] = []
    for metric in metrics:
        value, drawn = ours.of(metric)
        found[metric.name] = interval(value, drawn, ours.units, config.confidence, lowest=0.0)
        comparable = theirs is not None and theirs.has(metric)
        if theirs is not None and comparable:
            before[metric.name], drawn_before = theirs.of(metric)
            with np.errstate(invalid="ignore"):  # inf - inf
                change = drawn - drawn_before
            changes[metric.name] = interval(
                value - before[metric.name], change, ours.units, config.confidence
            )
        if not ours.finite(metric):
            reasons.append(f"{metric.name} is {value}: the model's sums are not finite")
            continue
        if math.isnan(value) or (math.isinf(value) and not metric.exponentiate):
            told, holds = _without_denominator(metric, ours)
            (notes if holds else reasons).extend(told)
            if metric.max_regression is not None and theirs is not None:
                # Where there is nothing to count at all, nothing shows that the model is no worse.
                (notes if ours.total(metric.numerator) > 0 else reasons).append(
                    f"{metric.name} cannot be compared with the last blessed model's:"
                    f" {metric.denominator} is 0 on this text"
                )
            continue
        reasons += _missed_bounds(metric, found[metric.name], ours.units)
        if metric.max_regression is None or theirs is None:
            continue
        if not comparable:
            notes.append(
                f"{metric.name} is not compared with the last blessed model, which does not have"
                f" it: max_regression {metric.max_regression:.4g} was left out"
            )
        elif math.isfinite(before[metric.name]):
            reasons += _regressed(
                metric, found[metric.name], before[metric.name], changes[metric.name], ours.units
            )
        else:
            notes.append(
                f"{metric.name} of the last blessed model is {before[metric.name]} on this text:"
                f" max_regression {metric.max_regression:.4g} was left out"
            )
    return Judgement(
        metrics=found,
        served=before if theirs is not None else None,
        changes=changes,
        units=ours.units,
        documents=documents,
        confidence=config.confidence,
        reasons=reasons,
        notes=notes,
    )


def to_json(judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON has it; infinities and NaN as Python's json writes them."""
    return dataclasses.asdict(judgement)


def from_json(fields: Mapping[str, Any]) -> Judgement:
    """What `to_json` gave."""
    intervals = {
        field: {name: Interval(**each) for name, each in fields[field].items()}
        for field in ("metrics", "changes")
    }
    return Judgement(**{**fields, **intervals})


class _Resampled:
    """A model's sums over all units and over each resample of them."""

    def __init__(self, sums: Sums, config: EvaluationConfig) -> None:
        self._columns = {name: column for column, name in enumerate(sorted(sums))}
        self._config = config
        columns = [sums[name] for name in self._columns]
        stacked = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
        self.units = len(stacked)
        self._drawn = resampled_sums(stacked, config.resamples, config.seed)
        with np.errstate(invalid="ignore"):
            self._total = stacked.sum(axis=0)

    def has(self, metric: Metric) -> bool:
        return {metric.numerator, metric.denominator} <= self._columns.keys()

    def total(self, name: str) -> float:
        return float(self._total[self._columns[name]])

    def finite(self, metric: Metric) -> bool:
        return math.isfinite(self.total(metric.numerator) + self.total(metric.denominator))

    def of(self, metric: Metric) -> tuple[float, np.ndarray]:
        """The metric over all units, and `[resamples]`."""
        pair = [self._columns[metric.numerator], self._columns[metric.denominator]]
        value = ratio(*self._total[pair], exponentiate=metric.exponentiate)
        return float(value), ratio(*self._drawn[:, pair].T, exponentiate=metric.exponentiate)

    def mean(self, name: str) -> Interval:
        """The mean of one sum over units."""
        column = self._columns[name]
        drawn = self._drawn[:, column] / self.units
        value = self.total(name) / self.units
        return interval(value, drawn, self.units, self._config.confidence, lowest=0.0)


def _without_denominator(metric: Metric, ours: _Resampled) -> tuple[list[str], bool]:
    """Bounds of a ratio whose denominator is 0 on the whole text, as of a baseline never right.

    A bound b on x / 0 is one on x: b times 0 is 0. So a lower bound above 0 holds if the model is
    shown to have any of x, and an upper bound if it has none. A lower bound of 0 always holds.

    Returns:
        What to say, and whether the bounds hold.
    """
    wanted = metric.lower_bound if metric.lower_bound is not None else 0.0
    if wanted <= 0 and metric.upper_bound is None:
        return [], True
    told = f"{metric.name} cannot be computed: {metric.denominator} is 0 on this text"
    above = ours.mean(metric.numerator)
    if metric.upper_bound is not None and above.value > 0:
        return [f"{told}, and {metric.numerator} is not"], False
    if wanted > 0 and not above.value > 0:
        return [f"{told}, and {metric.numerator} is 0 too"], False
    if wanted > 0 and not _end(metric, above) > 0:
        return [f"{told}, and {metric.numerator}, {above} a unit, is not shown to be more"], False
    return [f"{told}, so any {metric.numerator} meets the bound {wanted:.4g}"], True


def _end(metric: Metric, found: Interval) -> float:
    """The end of a metric's interval that its bounds hold for."""
    return found.low if metric.higher_is_better == (metric.end == "worse") else found.high


def _missed_bounds(metric: Metric, found: Interval, units: int) -> Iterator[str]:
    """The absolute bounds that do not hold."""
    if metric.lower_bound is not None:
        end, name = (found.low, "lower") if metric.end == "worse" else (found.high, "upper")
        if not end >= metric.lower_bound:
            yield (
                f"{metric.name} is {found}; the {name} end has to be at least"
                f" {metric.lower_bound:.4g}"
                + _more_text(found.value - metric.lower_bound, found.value - end, units)
            )
    if metric.upper_bound is not None:
        end, name = (found.high, "upper") if metric.end == "worse" else (found.low, "lower")
        if not end <= metric.upper_bound:
            yield (
                f"{metric.name} is {found}; the {name} end has to be at most"
                f" {metric.upper_bound:.4g}"
                + _more_text(metric.upper_bound - found.value, end - found.value, units)
            )


def _regressed(
    metric: Metric, found: Interval, before: float, change: Interval, units: int
) -> Iterator[str]:
    """The bound on the loss against the last blessed model, if it does not hold."""
    most = metric.max_regression or 0.0
    worse = change
    if metric.higher_is_better:
        worse = Interval(-change.value, -change.high, -change.low)
    end = worse.high if metric.end == "worse" else worse.low
    if not end <= most:
        yield (
            f"{metric.name} is {found.value:.4g}, the last blessed model's {before:.4g}:"
            f" {worse} worse; the {'upper' if metric.end == 'worse' else 'lower'} end may be at"
            f" most {most:.4g}" + _more_text(most - worse.value, end - worse.value, units)
        )


def _more_text(room: float, reach: float, units: int) -> str:
    """How much text would tell, where the value meets its bound and the interval is too wide.

    Args:
        room: from the value to the bound; below 0 if it misses the bound.
        reach: from the value to the end of the interval.
        units: how many there are.
    """
    if units < LEAST_UNITS:
        return f" (an interval takes at least {LEAST_UNITS} parts of text, and here are {units})"
    if room <= 0 or not math.isfinite(reach):
        return ""
    return (
        f" (the value meets it, but the text is too short to tell: {units} units, and about"
        f" {math.ceil(units * (reach / room) ** 2):,} would do)"
    )
