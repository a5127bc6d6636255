"""What the text of one span is like: TFX's feature statistics as plain numbers.

Reads only the protocol buffer that StatisticsGen wrote, so that a report needs neither TFX nor
TensorFlow Data Validation, whose import takes 15 seconds.
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
    """The documents of one split.

    Attributes:
        documents: number of documents.
        characters: characters over all of them.
        median_characters: of a document; approximate (1 %) where there are very many.
        min_characters: of the shortest document.
        max_characters: of the longest document.
        length_edges: edges of the length histogram, in characters, one more than the counts.
        length_counts: documents between two edges.
        mean_non_letter_share: mean over documents.
        max_non_letter_share: highest share of one document.
        max_replacement_share: highest share of U+FFFD of one document.
        duplicate_share: share of documents that repeat another one's text.
        languages: share of the documents by language, the most frequent first.
        sources: share of the documents by source; of languages and sources, the most frequent only.
        language_count: how many languages there are, those that are not listed included.
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
    """The documents of one span, by split (`train`, `eval`, `test`)."""

    splits: Mapping[str, SplitStatistics]

    @property
    def documents(self) -> int:
        """Documents over all splits."""
        return sum(split.documents for split in self.splits.values())

    @property
    def characters(self) -> int:
        """Characters over all splits."""
        return sum(split.characters for split in self.splits.values())

    @property
    def duplicate_share(self) -> float:
        """Share of the documents of the span that repeat another one's text, whatever its split."""
        repeated = sum(split.duplicate_share * split.documents for split in self.splits.values())
        return repeated / self.documents if self.documents else 0.0


def corpus_statistics(statistics_uri: str) -> CorpusStatistics:
    """The figures of an ExampleStatistics artifact, as StatisticsGen wrote it.

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
    """The protocol buffers of an ExampleStatistics artifact, by split.

    Raises:
        ConfigError: the folder holds no statistics.
    """
    found = dict(_read(pathlib.Path(statistics_uri)))
    if not found:
        raise ConfigError(
            f"no {SPLIT_PREFIX}*/{STATISTICS_FILE} in this folder",
            where=statistics_uri,
            remedy="give the folder of StatisticsGen's artifact",
        )
    return found


def _read(
    folder: pathlib.Path,
) -> Iterator[tuple[str, statistics_pb2.DatasetFeatureStatisticsList]]:
    for split in SPLITS:
        file = split_folder(folder, split) / STATISTICS_FILE
        if file.exists():
            yield split, statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())


def split_statistics(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> SplitStatistics:
    """The figures of one split; a feature that is absent counts as zero."""
    dataset = statistics.datasets[0]
    features = {feature.path.step[0]: feature for feature in dataset.features}
    nothing = statistics_pb2.FeatureNameStatistics()

    def numbers(name: str) -> statistics_pb2.NumericStatistics:
        return features.get(name, nothing).num_stats

    def shares(name: str) -> dict[str, float]:
        values = features.get(name, nothing).string_stats.top_values
        return {value.value: value.frequency / dataset.num_examples for value in values}

    def distinct(name: str) -> int:
        return int(features.get(name, nothing).string_stats.unique)

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
