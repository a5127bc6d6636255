"""ELMo's metrics and their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.metric import Metric

if TYPE_CHECKING:
    from models.elmo.config import ElmoObjectiveConfig


def metrics(config: ElmoObjectiveConfig) -> Sequence[Metric]:
    """Loss and perplexity per word of each direction and of both, with the baselines'.

    Each window is read from the zero state, so its first words are predicted from little context:
    the stride of the evaluation is the window's length. A sentence's end (backwards, its start) is
    predicted too and counts as a word. The loss of both directions is their mean, and the
    perplexity its exponential. The first metric is the loss that models are compared by.
    """
    return (
        Metric(
            "loss",
            "nll_sum",
            "prediction_count",
            higher_is_better=False,
            max_regression=config.max_regression,
            baseline="bigram_loss",
        ),
        Metric(
            "perplexity",
            "nll_sum",
            "prediction_count",
            exponentiate=True,
            higher_is_better=False,
            baseline="bigram_perplexity",
        ),
        *_loss_and_perplexity("forward_", "token_count", bigram="forward_bigram_"),
        *_loss_and_perplexity("backward_", "token_count", bigram="backward_bigram_"),
        Metric("accuracy", "correct_count", "prediction_count", baseline="unigram_accuracy"),
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
        *_loss_and_perplexity("unigram_", "prediction_count"),
        *_loss_and_perplexity("bigram_", "prediction_count"),
        *_loss_and_perplexity("forward_bigram_", "token_count"),
        *_loss_and_perplexity("backward_bigram_", "token_count"),
        Metric("unigram_accuracy", "unigram_correct_count", "prediction_count"),
    )


def _loss_and_perplexity(prefix: str, count: str, bigram: str | None = None) -> Sequence[Metric]:
    """Two metrics of the sum `<prefix>nll_sum`.

    Args:
        prefix: prefix of the sum, and of the metrics' names.
        count: name of the denominator.
        bigram: prefix of the bigram baseline's metrics, to show next to them; None: no baseline.
    """
    return tuple(
        Metric(
            f"{prefix}{name}",
            f"{prefix}nll_sum",
            count,
            exponentiate=name == "perplexity",
            higher_is_better=False,
            baseline=f"{bigram}{name}" if bigram else None,
        )
        for name in ("loss", "perplexity")
    )
