"""GPT's figures and their thresholds, known before there is a tokenizer or a model."""

from __future__ import annotations

from collections.abc import Sequence

from models.gpt.config import GptObjectiveConfig
from models.objective import Metric


def metrics(config: GptObjectiveConfig) -> Sequence[Metric]:
    """Loss and perplexity a token beside the unigram and bigram baselines', bits a byte, and more.

    Each token is predicted from those before it in its window, so the first ones of a window from
    few: the stride of the evaluation is the window's length. End-of-text is predicted too and
    counted as a token, as no byte and no word. Word perplexity is exp(loss · tokens / words), where
    words are parted by white space.
    """
    return (
        Metric(
            "loss",
            "nll_sum",
            "token_count",
            higher_is_better=False,
            max_regression=config.max_regression,
            baseline="bigram_loss",
        ),
        Metric(
            "perplexity",
            "nll_sum",
            "token_count",
            exponentiate=True,
            higher_is_better=False,
            baseline="bigram_perplexity",
        ),
        Metric("accuracy", "correct_count", "token_count", baseline="unigram_accuracy"),
        Metric(
            "bits_per_byte",
            "nll_bits_sum",
            "byte_count",
            higher_is_better=False,
            baseline="bigram_bits_per_byte",
        ),
        Metric(
            "word_perplexity",
            "nll_sum",
            "word_count",
            exponentiate=True,
            higher_is_better=False,
            baseline="bigram_word_perplexity",
        ),
        Metric(
            "loss_over_bigram",
            "nll_sum",
            "bigram_nll_sum",
            higher_is_better=False,
            upper_bound=config.max_loss_over_bigram,
        ),
        Metric(
            "loss_over_unigram",
            "nll_sum",
            "unigram_nll_sum",
            higher_is_better=False,
            upper_bound=config.max_loss_over_unigram,
        ),
        *_baseline("unigram"),
        *_baseline("bigram"),
        Metric("unigram_accuracy", "unigram_correct_count", "token_count"),
    )


def _baseline(name: str) -> Sequence[Metric]:
    """The same figures of a baseline."""
    nll, bits = f"{name}_nll_sum", f"{name}_nll_bits_sum"
    return (
        Metric(f"{name}_loss", nll, "token_count", higher_is_better=False),
        Metric(f"{name}_perplexity", nll, "token_count", True, higher_is_better=False),
        Metric(f"{name}_bits_per_byte", bits, "byte_count", higher_is_better=False),
        Metric(f"{name}_word_perplexity", nll, "word_count", True, higher_is_better=False),
    )
