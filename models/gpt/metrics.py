"""GPT's metrics and their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.metric import Metric

if TYPE_CHECKING:
    from models.gpt.config import GptObjectiveConfig


def metrics(config: GptObjectiveConfig) -> Sequence[Metric]:
    """Loss and perplexity per token, bits per byte and word perplexity, with the baselines'.

    Each token is predicted from the tokens before it in its window, so the first tokens of a window
    are predicted from little context: the stride of the evaluation is the window's length.
    End-of-text is predicted too; it counts as a token, but as no byte and no word. Word perplexity
    is exp(loss · tokens / words), where words are separated by white space. The first metric is the
    loss that models are compared by.
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
    """The metrics of a baseline."""
    nll, bits = f"{name}_nll_sum", f"{name}_nll_bits_sum"
    return (
        Metric(f"{name}_loss", nll, "token_count", higher_is_better=False),
        Metric(f"{name}_perplexity", nll, "token_count", True, higher_is_better=False),
        Metric(f"{name}_bits_per_byte", bits, "byte_count", higher_is_better=False),
        Metric(f"{name}_word_perplexity", nll, "word_count", True, higher_is_better=False),
    )
