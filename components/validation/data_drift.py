"""How far a span's documents are from an earlier span's: languages, sources and lengths.

A span may be of a dozen documents, and two dozens drawn from one source differ by more than most
real changes of large spans. So what chance explains is taken off a distance before a bound is
applied to it.
"""

from __future__ import annotations

import math

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.config import ValidationConfig
from components.validation.gate_checks import Check

_CHANCE = 1e-3  # how often two samples of one source are farther apart than `chance_distance`


def drift_checks(
    current: statistics_pb2.DatasetFeatureStatisticsList,
    previous: statistics_pb2.DatasetFeatureStatisticsList,
    split: str,
    config: ValidationConfig,
) -> list[Check]:
    """Distances of a span's distributions from those of an earlier span.

    Args:
        current, previous: statistics of one split of either.
        split: its name.
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
        told = f"{name} {distance:.3f} from the last approved span's ({how}), {chance:.3f} of it"
        told += f" may be chance with {now.num_examples:,} and {before.num_examples:,} documents"
        if chance + bound >= 1 and bound < 1:
            told += ": too few to tell"
        checks.append(
            Check(
                split=split,
                feature=feature,
                value=told,
                bound=f"at most {bound:g} beyond chance",
                passed=distance - chance <= bound,
                field=f"validation.{field}",
                remedy="find out what changed",
            )
        )
    return checks


def chance_distance(first: float, second: float) -> float:
    """The distance that two samples of one source exceed once in a thousand times.

    By Massart's bound for the Kolmogorov-Smirnov distance (Dvoretzky, Kiefer and Wolfowitz), which
    for the share of one value is Hoeffding's.

    Args:
        first, second: how many documents the samples have.
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

    ours, theirs = shares(now), shares(before)
    changes = {
        value: abs(ours.get(value, 0.0) - theirs.get(value, 0.0)) for value in {*ours, *theirs}
    }
    if not changes:
        return "no value", 0.0
    value = min(changes, key=lambda value: (-changes[value], value))
    return f"{value!r}: {theirs.get(value, 0):.1%} → {ours.get(value, 0):.1%}", changes[value]


def _length_distance(
    now: statistics_pb2.DatasetFeatureStatistics, before: statistics_pb2.DatasetFeatureStatistics
) -> float:
    """The Kolmogorov-Smirnov distance of the documents' lengths, from their percentiles."""
    (ours, our_shares), (theirs, their_shares) = _distribution(now), _distribution(before)
    if not len(ours) or not len(theirs):
        return float(len(ours) != len(theirs))
    at = np.union1d(ours, theirs)
    gaps = np.interp(at, ours, our_shares, left=0) - np.interp(at, theirs, their_shares, left=0)
    return float(np.abs(gaps).max())


def _distribution(
    dataset: statistics_pb2.DatasetFeatureStatistics,
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths, ascending, and the share of the documents that are not longer, float `[edges]`."""
    for histogram in _feature(dataset, "characters").num_stats.histograms:
        if histogram.type == statistics_pb2.Histogram.QUANTILES and histogram.buckets:
            edges = [histogram.buckets[0].low_value]
            edges += [bucket.high_value for bucket in histogram.buckets]
            counts = np.cumsum([0.0, *(bucket.sample_count for bucket in histogram.buckets)])
            lengths, last = np.unique(edges[::-1], return_index=True)  # of equal edges the last
            return lengths, counts[::-1][last] / counts[-1]
    return np.zeros(0), np.zeros(0)
