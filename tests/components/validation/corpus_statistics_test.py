"""Tests of reading statistics, from protocol buffers written here."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.validation.corpus_statistics import (
    STATISTICS_FILE,
    CorpusStatistics,
    SplitStatistics,
    corpus_statistics,
)
from models.errors import ConfigError

EVAL = """
  datasets {
    num_examples: 4
    features {
      path { step: "characters" } type: INT
      num_stats {
        common_stats { num_non_missing: 4 }
        mean: 2.5 median: 2 min: 1 max: 5
        histograms { type: QUANTILES buckets { low_value: 1 high_value: 5 sample_count: 4 } }
        histograms {
          type: STANDARD
          buckets { low_value: 1 high_value: 3 sample_count: 3 }
          buckets { low_value: 3 high_value: 5 sample_count: 1 }
        }
      }
    }
    features {
      path { step: "lang" } type: STRING
      string_stats {
        top_values { value: "zh" frequency: 3 }
        top_values { value: "en" frequency: 1 }
      }
    }
    features {
      path { step: "duplicate" } type: INT
      num_stats { common_stats { num_non_missing: 4 } mean: 0.25 }
    }
    features {
      path { step: "non_letter_share" } type: FLOAT
      num_stats { common_stats { num_non_missing: 4 } mean: 0.125 max: 0.5 }
    }
  }"""


def _write(folder, **splits):
    for split, text in splits.items():
        file = folder / f"Split-{split}" / STATISTICS_FILE
        file.parent.mkdir()
        statistics = text_format.Parse(text, statistics_pb2.DatasetFeatureStatisticsList())
        file.write_bytes(statistics.SerializeToString())


def test_all_statistics_of_a_split(tmp_path):
    _write(tmp_path, test=EVAL)
    assert corpus_statistics(str(tmp_path)) == CorpusStatistics(
        {
            "test": SplitStatistics(
                documents=4,
                characters=10,
                median_characters=2,
                min_characters=1,
                max_characters=5,
                length_edges=(1, 3, 5),
                length_counts=(3, 1),
                mean_non_letter_share=0.125,
                max_non_letter_share=0.5,
                max_replacement_share=0,
                duplicate_share=0.25,
                languages={"zh": 0.75, "en": 0.25},
                sources={},
            )
        }
    )


def test_the_span_weights_splits_by_their_documents(tmp_path):
    train = EVAL.replace("num_examples: 4", "num_examples: 12").replace("0.25", "0.5")
    _write(tmp_path, test=EVAL, train=train.replace("num_non_missing: 4", "num_non_missing: 12"))
    corpus = corpus_statistics(str(tmp_path))
    assert list(corpus.splits) == ["train", "test"]
    assert (corpus.documents, corpus.characters) == (16, 40)
    assert corpus.duplicate_share == pytest.approx((12 * 0.5 + 4 * 0.25) / 16)


def test_a_split_without_documents(tmp_path):
    _write(tmp_path, train="datasets { num_examples: 0 }")
    corpus = corpus_statistics(str(tmp_path))
    assert corpus.duplicate_share == 0
    assert corpus.splits["train"].length_edges == ()


def test_a_folder_without_statistics_is_named(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        corpus_statistics(str(tmp_path))
