"""Reads the statistics of a span's documents from StatisticsGen's artifact, as plain numbers.

It reads only the protocol buffer, so that a report needs neither TFX nor TensorFlow Data
Validation, whose import takes 15 seconds.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping

from tensorflow_metadata.proto.v0 import statistics_pb2

from components.layout import SPLIT_PREFIX, SPLITS, split_folder
from models.errors import ConfigError

STATISTICS_FILE = "FeatureStats.pb"
"""The file in each `Split-<name>` folder of an ExampleStatistics artifact."""


@dataclasses.dataclass(frozen=True)
class SplitStatistics:
    """Statistics of the documents of one split.

    Attributes:
        documents: number of documents.
        characters: number of characters of all documents.
        median_characters: median length of a document; approximate (1 %) for many documents.
        min_characters: length of the shortest document.
        max_characters: length of the longest document.
        length_edges: edges of the length histogram, in characters; one more than there are counts.
        length_counts: number of documents between two edges.
        mean_non_letter_share: mean over the documents.
        max_non_letter_share: maximum over the documents.
        max_replacement_share: maximum share of U+FFFD over the documents.
        duplicate_share: share of documents that are exact duplicates.
        languages: share of the documents by language, for the most frequent languages, descending.
        sources: share of the documents by source, for the most frequent sources, descending.
        language_count: number of distinct languages.
        source_count: number of distinct sources.
    """

    documents: int
    characters: int
    median_characters: float
    min_characters: int
    max_characters: int
    length_edges: tuple[float, ...]
    length_counts: tuple[float, ...]
    mean_non_letter_share: float
    max_non_letter_share: float
    max_replacement_share: float
    duplicate_share: float
    languages: Mapping[str, float]
    sources: Mapping[str, float]
    language_count: int = 0
    source_count: int = 0


@dataclasses.dataclass(frozen=True)
class CorpusStatistics:
    """Statistics of the documents of one span, by split (`train`, `test`, `eval`)."""

    splits: Mapping[str, SplitStatistics]

    @property
    def documents(self) -> int:
        """Number of documents of all splits."""
        return sum(split.documents for split in self.splits.values())

    @property
    def characters(self) -> int:
        """Number of characters of all splits."""
        return sum(split.characters for split in self.splits.values())

    @property
    def duplicate_share(self) -> float:
        """Share of the span's documents that are exact duplicates of a document in any split."""
        duplicates = sum(split.duplicate_share * split.documents for split in self.splits.values())
        return duplicates / self.documents if self.documents else 0.0


def corpus_statistics(statistics_uri: str) -> CorpusStatistics:
    """Reads an ExampleStatistics artifact as plain numbers.

    Raises:
        ConfigError: the folder holds no statistics.
    """
    return CorpusStatistics(
        {
            split: split_statistics(statistics)
            for split, statistics in feature_statistics(statistics_uri).items()
        }
    )


def feature_statistics(
    statistics_uri: str,
) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """Reads the protocol buffers of an ExampleStatistics artifact, by split.

    Raises:
        ConfigError: the folder holds no statistics.
    """
    statistics = dict(_read(pathlib.Path(statistics_uri)))
    if not statistics:
        raise ConfigError(
            f"no {SPLIT_PREFIX}*/{STATISTICS_FILE} in this folder",
            where=statistics_uri,
            remedy="give the folder of StatisticsGen's artifact",
        )
    return statistics


def _read(
    folder: pathlib.Path,
) -> Iterator[tuple[str, statistics_pb2.DatasetFeatureStatisticsList]]:
    for split in SPLITS:
        file = split_folder(folder, split) / STATISTICS_FILE
        if file.exists():
            yield split, statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())


def split_statistics(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> SplitStatistics:
    """Converts the statistics of one split to plain numbers; a missing feature counts as zero."""
    dataset = statistics.datasets[0]
    features = {feature.path.step[0]: feature for feature in dataset.features}
    missing = statistics_pb2.FeatureNameStatistics()

    def numbers(name: str) -> statistics_pb2.NumericStatistics:
        return features.get(name, missing).num_stats

    def shares(name: str) -> dict[str, float]:
        values = features.get(name, missing).string_stats.top_values
        return {value.value: value.frequency / dataset.num_examples for value in values}

    def distinct(name: str) -> int:
        return int(features.get(name, missing).string_stats.unique)

    lengths = numbers("characters")
    buckets = _equal_width_buckets(lengths)
    return SplitStatistics(
        documents=int(dataset.num_examples),
        characters=round(lengths.mean * lengths.common_stats.num_non_missing),
        median_characters=lengths.median,
        min_characters=int(lengths.min),
        max_characters=int(lengths.max),
        length_edges=tuple(
            [bucket.low_value for bucket in buckets] + [buckets[-1].high_value] if buckets else []
        ),
        length_counts=tuple(bucket.sample_count for bucket in buckets),
        mean_non_letter_share=numbers("non_letter_share").mean,
        max_non_letter_share=numbers("non_letter_share").max,
        max_replacement_share=numbers("replacement_share").max,
        duplicate_share=numbers("duplicate").mean,
        languages=shares("lang"),
        sources=shares("source"),
        language_count=distinct("lang"),
        source_count=distinct("source"),
    )


def _equal_width_buckets(
    numbers: statistics_pb2.NumericStatistics,
) -> list[statistics_pb2.Histogram.Bucket]:
    for histogram in numbers.histograms:
        if histogram.type == statistics_pb2.Histogram.STANDARD:
            return list(histogram.buckets)
    return []
