"""BERT's metrics and their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.metric import Metric

if TYPE_CHECKING:
    from models.bert.config import BertObjectiveConfig


def metrics(config: BertObjectiveConfig) -> Sequence[Metric]:
    """Masked words with the unigram baseline, next sentence with the majority label's.

    The first metric is the loss that models are compared by.
    """
    pairs = config.second_segment != "none"
    return (
        *_masked_words(config),
        *(_next_sentence(config) if pairs else ()),
        *_unigram(),
        *(_majority() if pairs else ()),
    )


def _masked_words(config: BertObjectiveConfig) -> Sequence[Metric]:
    return (
        Metric(
            "masked_lm_loss",
            "masked_lm_nll_sum",
            "masked_lm_token_count",
            higher_is_better=False,
            max_regression=config.max_regression,
            baseline="unigram_loss",
        ),
        Metric(
            "masked_lm_perplexity",
            "masked_lm_nll_sum",
            "masked_lm_token_count",
            exponentiate=True,
            higher_is_better=False,
            baseline="unigram_perplexity",
        ),
        Metric(
            "masked_lm_accuracy",
            "masked_lm_correct_count",
            "masked_lm_token_count",
            lower_bound=config.min_masked_lm_accuracy,
            baseline="unigram_accuracy",
        ),
        Metric(
            "accuracy_over_unigram",
            "masked_lm_correct_count",
            "unigram_correct_count",
            lower_bound=config.min_accuracy_over_unigram,
        ),
    )


def _next_sentence(config: BertObjectiveConfig) -> Sequence[Metric]:
    return (
        Metric(
            "next_sentence_accuracy",
            "next_sentence_correct_count",
            "next_sentence_count",
            lower_bound=config.min_next_sentence_accuracy,
            baseline="next_sentence_majority_accuracy",
        ),
        Metric(
            "next_sentence_over_majority",
            "next_sentence_correct_count",
            "next_sentence_majority_correct_count",
            lower_bound=config.min_next_sentence_over_majority,
            # A pair gives one prediction and many masked words: on a short text the interval is
            # wide.
            end="better",
        ),
    )


def _unigram() -> Sequence[Metric]:
    return (
        Metric("unigram_loss", "unigram_nll_sum", "masked_lm_token_count", higher_is_better=False),
        Metric(
            "unigram_perplexity",
            "unigram_nll_sum",
            "masked_lm_token_count",
            exponentiate=True,
            higher_is_better=False,
        ),
        Metric("unigram_accuracy", "unigram_correct_count", "masked_lm_token_count"),
    )


def _majority() -> Sequence[Metric]:
    return (
        Metric(
            "next_sentence_majority_accuracy",
            "next_sentence_majority_correct_count",
            "next_sentence_count",
        ),
    )
