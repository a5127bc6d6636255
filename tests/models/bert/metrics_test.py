"""Tests of BERT's metrics and their thresholds."""

import dataclasses
import math

import pytest

from models.bert.config import BertObjectiveConfig
from models.bert.metrics import metrics
from models.metric import Metric

METRICS = {metric.name: metric for metric in metrics(BertObjectiveConfig())}
SUMS = {
    "masked_lm_nll_sum": 8.0,
    "masked_lm_token_count": 4.0,
    "masked_lm_correct_count": 3.0,
    "unigram_nll_sum": 12.0,
    "unigram_correct_count": 2.0,
    "next_sentence_nll_sum": 1.0,
    "next_sentence_count": 10.0,
    "next_sentence_correct_count": 9.0,
    "next_sentence_majority_correct_count": 6.0,
}


def value_of(metric: Metric) -> float:
    ratio = SUMS[metric.numerator] / SUMS[metric.denominator]
    return math.exp(ratio) if metric.exponentiate else ratio


def test_metrics_are_computed_from_sums() -> None:
    assert {name: value_of(metric) for name, metric in METRICS.items()} == {
        "masked_lm_loss": 2.0,
        "masked_lm_perplexity": math.exp(2.0),
        "masked_lm_accuracy": 0.75,
        "accuracy_over_unigram": 1.5,
        "next_sentence_accuracy": 0.9,
        "next_sentence_over_majority": 1.5,
        "unigram_loss": 3.0,
        "unigram_perplexity": math.exp(3.0),
        "unigram_accuracy": 0.5,
        "next_sentence_majority_accuracy": 0.6,
    }


def test_names_of_metrics_are_unique() -> None:
    assert len(METRICS) == len(metrics(BertObjectiveConfig()))


def test_lower_losses_and_perplexities_and_higher_shares_are_better() -> None:
    low = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert low == {
        "masked_lm_loss", "masked_lm_perplexity", "unigram_loss", "unigram_perplexity",
    }  # fmt: skip


def test_every_baseline_is_the_same_metric_of_a_simpler_model() -> None:
    baselines = {name: metric.baseline for name, metric in METRICS.items() if metric.baseline}
    assert baselines == {
        "masked_lm_loss": "unigram_loss",
        "masked_lm_perplexity": "unigram_perplexity",
        "masked_lm_accuracy": "unigram_accuracy",
        "next_sentence_accuracy": "next_sentence_majority_accuracy",
    }
    for name, baseline in baselines.items():
        ours, theirs = METRICS[name], METRICS[baseline]
        assert ours.denominator == theirs.denominator
        assert ours.exponentiate == theirs.exponentiate
        assert ours.higher_is_better == theirs.higher_is_better


def bounds(config: BertObjectiveConfig) -> dict[str, tuple[float | None, ...]]:
    """Lower bound, upper bound and max_regression of the metrics that have bounds."""
    found = {m.name: (m.lower_bound, m.upper_bound, m.max_regression) for m in metrics(config)}
    return {name: values for name, values in found.items() if values != (None, None, None)}


def test_bounds_come_from_the_configuration() -> None:
    config = BertObjectiveConfig(
        min_masked_lm_accuracy=0.1,
        min_next_sentence_accuracy=0.2,
        min_accuracy_over_unigram=3.0,
        min_next_sentence_over_majority=1.1,
        max_regression=0.4,
    )
    assert bounds(config) == {
        "masked_lm_loss": (None, None, 0.4),
        "masked_lm_accuracy": (0.1, None, None),
        "accuracy_over_unigram": (3.0, None, None),
        "next_sentence_accuracy": (0.2, None, None),
        "next_sentence_over_majority": (1.1, None, None),
    }
    better = [metric.name for metric in metrics(config) if metric.end == "better"]
    assert better == ["next_sentence_over_majority"]


def test_by_default_a_model_must_be_at_least_as_good_as_word_frequencies() -> None:
    assert bounds(BertObjectiveConfig())["accuracy_over_unigram"] == (1.0, None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence_length", 64),
        ("max_predictions_per_seq", 30),
        ("mask_prob", 0.1),
        ("short_seq_prob", 1.0),
        ("dupe_factor", 1),
    ],
)
def test_settings_of_examples_change_no_metric(field: str, value: float) -> None:
    config = dataclasses.replace(BertObjectiveConfig(), **{field: value})
    assert metrics(config) == metrics(BertObjectiveConfig())
