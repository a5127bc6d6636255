"""BERT's figures and their thresholds, known before there is a tokenizer or a model."""

from __future__ import annotations

from collections.abc import Sequence

from models.bert.config import BertObjectiveConfig
from models.objective import Metric


def metrics(config: BertObjectiveConfig) -> Sequence[Metric]:
    """Masked words beside the unigram baseline, next sentence beside the majority's label."""
    figures = (
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
            # A pair is one answer, where its masked words are many: a short text shows little.
            end="better",
        ),
        Metric(
            "unigram_loss",
            "unigram_nll_sum",
            "masked_lm_token_count",
            higher_is_better=False,
        ),
        Metric(
            "unigram_perplexity",
            "unigram_nll_sum",
            "masked_lm_token_count",
            exponentiate=True,
            higher_is_better=False,
        ),
        Metric("unigram_accuracy", "unigram_correct_count", "masked_lm_token_count"),
        Metric(
            "next_sentence_majority_accuracy",
            "next_sentence_majority_correct_count",
            "next_sentence_count",
        ),
    )
    if config.second_segment == "none":
        return [figure for figure in figures if not figure.name.startswith("next_sentence")]
    return figures
