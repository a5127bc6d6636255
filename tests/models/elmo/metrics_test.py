"""Tests of ELMo's metrics and their thresholds."""

import math

from models.elmo.config import ElmoObjectiveConfig
from models.elmo.metrics import metrics
from models.metric import Metric

METRICS = {metric.name: metric for metric in metrics(ElmoObjectiveConfig())}
SUMS = {
    "nll_sum": 24.0,
    "forward_nll_sum": 8.0,
    "backward_nll_sum": 16.0,
    "token_count": 4.0,
    "prediction_count": 8.0,
    "correct_count": 2.0,
    "bigram_nll_sum": 32.0,
    "forward_bigram_nll_sum": 12.0,
    "backward_bigram_nll_sum": 20.0,
    "unigram_nll_sum": 48.0,
    "unigram_correct_count": 1.0,
}


def value_of(metric: Metric) -> float:
    ratio = SUMS[metric.numerator] / SUMS[metric.denominator]
    return math.exp(ratio) if metric.exponentiate else ratio


def test_metrics_are_computed_from_sums() -> None:
    assert {name: value_of(metric) for name, metric in METRICS.items()} == {
        "loss": 3.0,
        "perplexity": math.exp(3.0),
        "forward_loss": 2.0,
        "forward_perplexity": math.exp(2.0),
        "backward_loss": 4.0,
        "backward_perplexity": math.exp(4.0),
        "accuracy": 0.25,
        "loss_over_bigram": 0.75,
        "loss_over_unigram": 0.5,
        "unigram_loss": 6.0,
        "unigram_perplexity": math.exp(6.0),
        "bigram_loss": 4.0,
        "bigram_perplexity": math.exp(4.0),
        "forward_bigram_loss": 3.0,
        "forward_bigram_perplexity": math.exp(3.0),
        "backward_bigram_loss": 5.0,
        "backward_bigram_perplexity": math.exp(5.0),
        "unigram_accuracy": 0.125,
    }


def test_names_of_metrics_are_unique() -> None:
    assert len(METRICS) == len(metrics(ElmoObjectiveConfig()))


def test_only_higher_accuracies_are_better() -> None:
    high = {name for name, metric in METRICS.items() if metric.higher_is_better}
    assert high == {"accuracy", "unigram_accuracy"}


def test_bounds_come_from_the_configuration() -> None:
    config = ElmoObjectiveConfig(
        max_loss_over_bigram=0.9, max_loss_over_unigram=0.7, max_regression=0.01
    )
    found = {metric.name: metric for metric in metrics(config)}
    assert found["loss_over_bigram"].upper_bound == 0.9
    assert found["loss_over_unigram"].upper_bound == 0.7
    assert found["loss"].max_regression == 0.01
