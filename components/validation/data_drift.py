"""Checks of a span's drift from an earlier span: languages, sources and lengths of documents.

A span may have a dozen documents, and two samples of a dozen documents from the same source differ
by more than most real changes between large spans. Therefore the distance that chance explains is
subtracted before a bound is applied.
"""

from __future__ import annotations

import math

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.config import ValidationConfig
from components.validation.gate_checks import Check

_CHANCE = 1e-3  # probability that two samples of one source exceed `chance_distance`


def drift_checks(
    current: statistics_pb2.DatasetFeatureStatisticsList,
    previous: statistics_pb2.DatasetFeatureStatisticsList,
    split: str,
    config: ValidationConfig,
) -> list[Check]:
    """Checks the distances of a span's distributions from those of an earlier span.

    Args:
        current, previous: statistics of the same split of both spans.
        split: the split's name.
        config: the bounds.
    """
    now, before = current.datasets[0], previous.datasets[0]
    chance = chance_distance(now.num_examples, before.num_examples)
    measured = [
        ("lang", "language share", _largest_change(now, before, "lang"), "max_language_drift"),
        ("source", "source share", _largest_change(now, before, "source"), "max_source_drift"),
        (
            "characters",
            "lengths",
            ("Kolmogorov-Smirnov distance", _length_distance(now, before)),
            "max_length_drift",
        ),
    ]
    checks = []
    for feature, name, (how, distance), field in measured:
        bound = getattr(config, field)
        value = f"{name} {distance:.3f} from the last approved span's ({how}); chance explains"
        value += f" {chance:.3f} with {now.num_examples:,} and {before.num_examples:,} documents"
        if chance + bound >= 1 and bound < 1:
            value += ", which are too few to judge"
        checks.append(
            Check(
                split=split,
                feature=feature,
                value=value,
                bound=f"at most {bound:g} beyond chance",
                passed=distance - chance <= bound,
                field=f"validation.{field}",
                remedy="find out what changed",
            )
        )
    return checks


def chance_distance(first: float, second: float) -> float:
    """The distance that two samples of one source exceed with a probability of 1 in 1,000.

    It is Massart's bound for the Kolmogorov-Smirnov distance (Dvoretzky, Kiefer and Wolfowitz); for
    the share of a single value it is Hoeffding's bound.

    Args:
        first, second: numbers of documents of the samples.
    """
    if not first or not second:
        return 1.0
    return math.sqrt(math.log(2 / _CHANCE) / 2 * (1 / first + 1 / second))


def _feature(
    dataset: statistics_pb2.DatasetFeatureStatistics, name: str
) -> statistics_pb2.FeatureNameStatistics:
    for feature in dataset.features:
        if feature.path.step[0] == name:
            return feature
    return statistics_pb2.FeatureNameStatistics()


def _largest_change(
    now: statistics_pb2.DatasetFeatureStatistics,
    before: statistics_pb2.DatasetFeatureStatistics,
    name: str,
) -> tuple[str, float]:
    """The value whose share of the documents changed most, in words, and by how much."""

    def shares(dataset: statistics_pb2.DatasetFeatureStatistics) -> dict[str, float]:
        buckets = _feature(dataset, name).string_stats.rank_histogram.buckets
        return {bucket.label: bucket.sample_count / dataset.num_examples for bucket in buckets}

    shares_now, shares_before = shares(now), shares(before)
    changes = {
        value: abs(shares_now.get(value, 0.0) - shares_before.get(value, 0.0))
        for value in {*shares_now, *shares_before}
    }
    if not changes:
        return "no value", 0.0
    value = min(changes, key=lambda value: (-changes[value], value))
    words = f"{value!r}: {shares_before.get(value, 0):.1%} → {shares_now.get(value, 0):.1%}"
    return words, changes[value]


def _length_distance(
    now: statistics_pb2.DatasetFeatureStatistics, before: statistics_pb2.DatasetFeatureStatistics
) -> float:
    """The Kolmogorov-Smirnov distance of the documents' lengths, computed from percentiles."""
    (lengths_now, cdf_now), (lengths_before, cdf_before) = _cdf(now), _cdf(before)
    if not len(lengths_now) or not len(lengths_before):
        return float(len(lengths_now) != len(lengths_before))
    lengths = np.union1d(lengths_now, lengths_before)
    gaps = np.interp(lengths, lengths_now, cdf_now, left=0)
    gaps -= np.interp(lengths, lengths_before, cdf_before, left=0)
    return float(np.abs(gaps).max())


def _cdf(dataset: statistics_pb2.DatasetFeatureStatistics) -> tuple[np.ndarray, np.ndarray]:
    """The distribution of lengths: ascending lengths, and the share of documents of at most each.

    Both are float `[edges]`.
    """
    for histogram in _feature(dataset, "characters").num_stats.histograms:
        if histogram.type == statistics_pb2.Histogram.QUANTILES and histogram.buckets:
            edges = [histogram.buckets[0].low_value]
            edges += [bucket.high_value for bucket in histogram.buckets]
            counts = np.cumsum([0.0, *(bucket.sample_count for bucket in histogram.buckets)])
            lengths, last = np.unique(edges[::-1], return_index=True)  # the last of equal edges
            return lengths, counts[::-1][last] / counts[-1]
    return np.zeros(0), np.zeros(0)
