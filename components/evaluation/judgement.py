"""Decides whether a model is blessed, from the confidence intervals of its metrics.

A bound holds if one end of the metric's interval meets it; `Metric.end` says which end. With
"worse", the default, the model must be shown to meet the bound. With "better", the model is
rejected only if it is shown to miss the bound. In both cases the probability of a decision by
chance is known: of models whose true value equals the bound, (1 - confidence) / 2 pass with
"worse", and (1 - confidence) / 2 are rejected with "better". The point estimate decides nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.config import EvaluationConfig
from components.evaluation.bootstrap import Interval, interval, ratio, resampled_sums
from components.evaluation.resampling_units import MIN_UNITS
from models.metric import Metric

Sums = Mapping[str, np.ndarray]
"""A model's sums, float64 `[units]`, by the name of the output that they sum."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A model's metrics, compared with their bounds and with the last blessed model.

    Attributes:
        metrics: the model's metrics by name; NaN for a ratio whose denominator is 0.
        served: the last blessed model's metrics, where it has the outputs for them; None if there
            is no such model.
        changes: the model's metrics minus the last blessed model's, paired, where both have them.
        units: number of units that were resampled.
        documents: True if the units are blocks of documents. False if there were too few documents
            and the units are parts of blocks: the intervals then hold for more text of the same
            documents, not for other documents.
        confidence: probability with which an interval holds the true value.
        reasons: why the model is not blessed, in sentences; empty if it is.
        notes: bounds that were not checked, and why, in sentences.
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

    def resampling_note(self) -> str:
        """What was resampled and how bounds are applied, in sentences for the report."""
        if self.units < MIN_UNITS:
            return (
                f"No confidence intervals: the text has {self.units} units to resample, and "
                f"intervals need {MIN_UNITS}."
            )
        units = f"{self.units:,} blocks of documents." if self.documents else (
            f"{self.units:,} parts of the text. The text has too few documents to resample whole "
            "documents, so the intervals hold for more text of the same documents, not for other "
            "documents."
        )  # fmt: skip
        return (
            f"Brackets: {self.confidence:.0%} confidence intervals, by resampling {units} Changes "
            "are paired: both models are measured on the same resample. A bound at the worse end "
            "of an interval must be shown to hold; a bound at the better end rejects the model "
            "only if it is shown to be missed."
        )


def judge(
    metrics: Sequence[Metric],
    candidate: Sums,
    served: Sums | None,
    config: EvaluationConfig,
    *,
    documents: bool = True,
) -> Judgement:
    """Computes metrics with their intervals and checks their bounds.

    Args:
        metrics: the objective's metrics.
        candidate: sums of the model that is judged, with every output that `metrics` name.
        served: sums of the last blessed model on the same units. Metrics whose outputs it lacks
            are not compared.
        config: confidence, number of resamples and seed.
        documents: whether a unit is a block of documents.
    """
    candidate_sums = _ResampledSums(candidate, config)
    served_sums = _ResampledSums(served, config) if served is not None else None
    judged = [_judge_metric(metric, candidate_sums, served_sums) for metric in metrics]
    return Judgement(
        metrics={each.name: each.interval for each in judged},
        served=(
            {each.name: each.served for each in judged if each.served is not None}
            if served_sums is not None
            else None
        ),
        changes={each.name: each.change for each in judged if each.change is not None},
        units=candidate_sums.units,
        documents=documents,
        confidence=config.confidence,
        reasons=[reason for each in judged for reason in each.reasons],
        notes=[note for each in judged for note in each.notes],
    )


def to_json(judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON; infinities and NaN as Python's json module writes them."""
    return dataclasses.asdict(judgement)


def from_json(fields: Mapping[str, Any]) -> Judgement:
    """Reads what `to_json` returned."""
    intervals = {
        field: {name: Interval(**each) for name, each in fields[field].items()}
        for field in ("metrics", "changes")
    }
    return Judgement(**{**fields, **intervals})


class _ResampledSums:
    """A model's sums over all units, and over each resample of the units."""

    def __init__(self, sums: Sums, config: EvaluationConfig) -> None:
        self._columns = {name: column for column, name in enumerate(sorted(sums))}
        self._confidence = config.confidence
        columns = [sums[name] for name in self._columns]
        stacked = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
        self.units = len(stacked)
        self._resampled = resampled_sums(stacked, config.resamples, config.seed)
        with np.errstate(invalid="ignore"):
            self._total = stacked.sum(axis=0)

    def has(self, metric: Metric) -> bool:
        """Whether the model has both outputs of a metric."""
        return {metric.numerator, metric.denominator} <= self._columns.keys()

    def total(self, output: str) -> float:
        """The sum of an output over all units."""
        return float(self._total[self._columns[output]])

    def is_finite(self, metric: Metric) -> bool:
        """Whether both sums of a metric are finite."""
        return math.isfinite(self.total(metric.numerator) + self.total(metric.denominator))

    def metric(self, metric: Metric) -> tuple[float, np.ndarray]:
        """A metric over all units, and over each resample, `[resamples]`."""
        pair = [self._columns[metric.numerator], self._columns[metric.denominator]]
        value = ratio(*self._total[pair], exponentiate=metric.exponentiate)
        return float(value), ratio(*self._resampled[:, pair].T, exponentiate=metric.exponentiate)

    def interval(self, value: float, resamples: np.ndarray, lowest: float = -math.inf) -> Interval:
        """The confidence interval of a statistic; see `bootstrap.interval`."""
        return interval(value, resamples, self.units, self._confidence, lowest=lowest)

    def mean(self, output: str) -> Interval:
        """The mean of an output over units."""
        resamples = self._resampled[:, self._columns[output]] / self.units
        return self.interval(self.total(output) / self.units, resamples, lowest=0.0)


@dataclasses.dataclass(frozen=True)
class _JudgedMetric:
    """One metric's part of a `Judgement`; `served` and `change` are None if not comparable."""

    name: str
    interval: Interval
    served: float | None
    change: Interval | None
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()


def _judge_metric(
    metric: Metric, candidate: _ResampledSums, served: _ResampledSums | None
) -> _JudgedMetric:
    value, resamples = candidate.metric(metric)
    own_interval = candidate.interval(value, resamples, lowest=0.0)
    served_value = change = None
    if served is not None and served.has(metric):
        served_value, served_resamples = served.metric(metric)
        with np.errstate(invalid="ignore"):  # inf - inf
            difference = resamples - served_resamples
        change = candidate.interval(value - served_value, difference)
    judged = _JudgedMetric(metric.name, own_interval, served_value, change)
    if not candidate.is_finite(metric):
        reason = f"{metric.name} is {value}: the model's sums are not finite"
        return dataclasses.replace(judged, reasons=[reason])
    if math.isnan(value) or (math.isinf(value) and not metric.exponentiate):
        return _judge_undefined(judged, metric, candidate, compare=served is not None)
    reasons = [*_missed_bounds(metric, own_interval, candidate.units)]
    notes: list[str] = []
    if metric.max_regression is not None and served is not None:
        unchecked = f"its max_regression, {metric.max_regression:.4g}, was not checked"
        if served_value is None or change is None:
            notes.append(f"the last blessed model does not have {metric.name}: {unchecked}")
        elif not math.isfinite(served_value):
            notes.append(
                f"{metric.name} of the last blessed model is {served_value} on this text:"
                f" {unchecked}"
            )
        else:
            reasons += _regressed(metric, value, served_value, change, candidate.units)
    return dataclasses.replace(judged, reasons=reasons, notes=notes)


def _judge_undefined(
    judged: _JudgedMetric, metric: Metric, candidate: _ResampledSums, *, compare: bool
) -> _JudgedMetric:
    """Judges a ratio whose denominator is 0 on the whole text.

    Args:
        compare: whether there is a last blessed model to compare with.
    """
    reasons: list[str] = []
    notes: list[str] = []
    message, holds = _bounds_without_denominator(metric, candidate)
    if message:
        (notes if holds else reasons).append(message)
    if metric.max_regression is not None and compare:
        # Where the numerator is 0 too, nothing shows that the model is no worse.
        (notes if candidate.total(metric.numerator) > 0 else reasons).append(
            f"{metric.name} cannot be compared with the last blessed model:"
            f" {metric.denominator} is 0 on this text"
        )
    return dataclasses.replace(judged, reasons=reasons, notes=notes)


def _bounds_without_denominator(metric: Metric, candidate: _ResampledSums) -> tuple[str, bool]:
    """Checks the bounds of x / 0, such as the gain over a baseline that is never right.

    A bound b on x / 0 is a bound on x: b times 0 is 0. So a lower bound above 0 holds if x is
    shown to be above 0, and an upper bound holds if x is 0. A lower bound of 0 always holds.

    Returns:
        A sentence, empty if there is nothing to say, and whether the bounds hold.
    """
    lower_bound = metric.lower_bound if metric.lower_bound is not None else 0.0
    if lower_bound <= 0 and metric.upper_bound is None:
        return "", True
    undefined = f"{metric.name} cannot be computed: {metric.denominator} is 0 on this text"
    mean = candidate.mean(metric.numerator)
    if metric.upper_bound is not None and mean.value > 0:
        return f"{undefined}, but {metric.numerator} is not", False
    if lower_bound > 0 and not mean.value > 0:
        return f"{undefined}, and so is {metric.numerator}", False
    if lower_bound > 0 and not _deciding_end(metric, mean) > 0:
        return (
            f"{undefined}, and {metric.numerator}, {mean} per unit, is not shown to be above 0"
        ), False
    return f"{undefined}, so any {metric.numerator} meets the bound {lower_bound:.4g}", True


def _deciding_end(metric: Metric, around: Interval) -> float:
    """The end of an interval that must meet the metric's bounds."""
    return around.low if metric.higher_is_better == (metric.end == "worse") else around.high


def _missed_bounds(metric: Metric, around: Interval, units: int) -> Iterator[str]:
    """Sentences about the absolute bounds that do not hold."""
    if metric.lower_bound is not None:
        end, name = (around.low, "lower") if metric.end == "worse" else (around.high, "upper")
        if not end >= metric.lower_bound:
            yield (
                f"{metric.name} is {around}; the {name} end must be at least"
                f" {metric.lower_bound:.4g}"
                + _text_needed(around.value - metric.lower_bound, around.value - end, units)
            )
    if metric.upper_bound is not None:
        end, name = (around.high, "upper") if metric.end == "worse" else (around.low, "lower")
        if not end <= metric.upper_bound:
            yield (
                f"{metric.name} is {around}; the {name} end must be at most"
                f" {metric.upper_bound:.4g}"
                + _text_needed(metric.upper_bound - around.value, end - around.value, units)
            )


def _regressed(
    metric: Metric, value: float, served_value: float, change: Interval, units: int
) -> Iterator[str]:
    """A sentence about `max_regression`, if it does not hold."""
    bound = metric.max_regression or 0.0
    loss = change
    if metric.higher_is_better:
        loss = Interval(-change.value, -change.high, -change.low)
    end, name = (loss.high, "upper") if metric.end == "worse" else (loss.low, "lower")
    if not end <= bound:
        yield (
            f"{metric.name} is {value:.4g}, and {served_value:.4g} for the last blessed model:"
            f" worse by {loss}; the {name} end must be at most {bound:.4g}"
            + _text_needed(bound - loss.value, end - loss.value, units)
        )


def _text_needed(room: float, reach: float, units: int) -> str:
    """How much text is needed, if the value meets its bound and only the interval does not.

    Args:
        room: distance from the value to the bound; below 0 if the value misses the bound.
        reach: distance from the value to the end of the interval.
        units: number of units of the text.
    """
    if units < MIN_UNITS:
        return f" (an interval needs at least {MIN_UNITS} units of text; this text has {units})"
    if room <= 0 or not math.isfinite(reach):
        return ""
    return (
        f" (the value meets the bound, but the text is too short to be sure: it has {units} units,"
        f" and about {math.ceil(units * (reach / room) ** 2):,} are needed)"
    )
