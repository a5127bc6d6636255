"""Tests of GPT's metrics and their thresholds."""

import math

from models.gpt.config import GptObjectiveConfig
from models.gpt.metrics import metrics
from models.metric import Metric

METRICS = {metric.name: metric for metric in metrics(GptObjectiveConfig())}
SUMS = {
    "nll_sum": 8.0,
    "nll_bits_sum": 12.0,
    "token_count": 4.0,
    "correct_count": 3.0,
    "byte_count": 16.0,
    "word_count": 2.0,
    "unigram_nll_sum": 16.0,
    "unigram_nll_bits_sum": 24.0,
    "unigram_correct_count": 1.0,
    "bigram_nll_sum": 10.0,
    "bigram_nll_bits_sum": 15.0,
}


def value_of(metric: Metric) -> float:
    ratio = SUMS[metric.numerator] / SUMS[metric.denominator]
    return math.exp(ratio) if metric.exponentiate else ratio


def test_metrics_are_computed_from_sums() -> None:
    assert {name: value_of(metric) for name, metric in METRICS.items()} == {
        "loss": 2.0,
        "perplexity": math.exp(2.0),
        "accuracy": 0.75,
        "bits_per_byte": 0.75,
        "word_perplexity": math.exp(4.0),
        "loss_over_bigram": 0.8,
        "loss_over_unigram": 0.5,
        "unigram_loss": 4.0,
        "unigram_perplexity": math.exp(4.0),
        "unigram_bits_per_byte": 1.5,
        "unigram_word_perplexity": math.exp(8.0),
        "unigram_accuracy": 0.25,
        "bigram_loss": 2.5,
        "bigram_perplexity": math.exp(2.5),
        "bigram_bits_per_byte": 0.9375,
        "bigram_word_perplexity": math.exp(5.0),
    }


def test_names_of_metrics_are_unique() -> None:
    assert len(METRICS) == len(metrics(GptObjectiveConfig()))


def test_only_higher_accuracies_are_better() -> None:
    high = {name for name, metric in METRICS.items() if metric.higher_is_better}
    assert high == {"accuracy", "unigram_accuracy"}


def test_bounds_come_from_the_configuration() -> None:
    config = GptObjectiveConfig(
        max_loss_over_bigram=0.9, max_loss_over_unigram=0.7, max_regression=0.01
    )
    found = {metric.name: metric for metric in metrics(config)}
    assert found["loss_over_bigram"].upper_bound == 0.9
    assert found["loss_over_unigram"].upper_bound == 0.7
    assert found["loss"].max_regression == 0.01
