"""Tests of drift between spans: what chance explains, and what the default bounds refuse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.config import ValidationConfig
from components.validation.data_drift import chance_distance, drift_checks
from components.validation.gate_checks import Check


def statistics(
    documents: int,
    languages: Mapping[str, float],
    sources: Mapping[str, float],
    lengths: Sequence[float],
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Statistics as StatisticsGen writes them; `lengths` are the edges of quantiles."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = result.datasets.add(num_examples=documents)
    for name, shares in (("lang", languages), ("source", sources)):
        feature = dataset.features.add()
        feature.path.step.append(name)
        for label, share in shares.items():
            feature.string_stats.rank_histogram.buckets.add(
                label=label, sample_count=share * documents
            )
    feature = dataset.features.add()
    feature.path.step.append("characters")
    histogram = feature.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    for low, high in itertools.pairwise(lengths):
        count = documents / (len(lengths) - 1)
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)
    return result


ENGLISH, WIRE, LENGTHS = {"en": 1.0}, {"wire": 0.5, "blog": 0.5}, [10, 20, 30, 40, 50]
BEFORE = statistics(5_000, ENGLISH, WIRE, LENGTHS)


def checks(now: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Check]:
    found = drift_checks(now, BEFORE, "train", ValidationConfig())
    return {check.feature: check for check in found}


def refused(now: statistics_pb2.DatasetFeatureStatisticsList) -> list[str]:
    return [feature for feature, check in checks(now).items() if not check.passed]


def test_the_chance_distance_shrinks_with_more_documents() -> None:
    assert chance_distance(227, 11) == pytest.approx(0.602, abs=1e-3)
    assert chance_distance(5000, 5000) == pytest.approx(0.039, abs=1e-3)
    assert chance_distance(0, 10) == 1


def test_a_check_says_what_changed_and_what_may_be_chance() -> None:
    found = checks(statistics(100, {"en": 0.75, "zh": 0.25}, WIRE, LENGTHS))
    assert str(found["lang"]) == (
        "split train, lang: language share 0.250 from the last approved span's"
        " ('en': 100.0% → 75.0%); chance explains 0.197 with 100 and 5,000 documents;"
        " bound: at most 0.1 beyond chance (validation.max_language_drift)"
    )
    assert found["lang"].passed
    assert found["characters"].value.startswith("lengths 0.000 from")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (statistics(5_000, {"th": 1.0}, WIRE, LENGTHS), ["lang"]),
        (statistics(5_000, {"en": 0.8, "zh": 0.2}, WIRE, LENGTHS), ["lang"]),
        (statistics(60, ENGLISH, {"forum": 1.0}, LENGTHS), ["source"]),
        (statistics(60, ENGLISH, {"forum": 0.7, "wire": 0.2, "blog": 0.1}, LENGTHS), []),
        (statistics(5_000, ENGLISH, WIRE, [1, 2, 3, 4, 12]), ["characters"]),
        (statistics(5_000, ENGLISH, WIRE, [10, 10, 10, 10, 50]), ["characters"]),
        (statistics(5_000, ENGLISH, WIRE, [10, 22, 34, 44, 60]), []),
        (statistics(5_000, ENGLISH, {"wire": 1.0}, LENGTHS), []),
    ],
)
def test_the_default_bounds(
    now: statistics_pb2.DatasetFeatureStatisticsList, expected: list[str]
) -> None:
    assert refused(now) == expected


def test_a_span_with_only_a_new_source_is_refused_if_it_has_enough_documents() -> None:
    before = statistics(5_000, ENGLISH, {"wire": 1.0}, LENGTHS)
    config = ValidationConfig()
    for documents, passed in ((5_000, False), (15, True)):
        now = statistics(documents, ENGLISH, {"forum": 1.0}, LENGTHS)
        found = {each.feature: each for each in drift_checks(now, before, "train", config)}
        assert found["source"].passed == passed
        assert found["source"].value.endswith("too few to judge") == passed
