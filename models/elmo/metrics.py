"""ELMo's figures and their thresholds, known before there is a tokenizer or a model."""

from __future__ import annotations

from collections.abc import Sequence

from models.elmo.config import ElmoObjectiveConfig
from models.objective import Metric


def metrics(config: ElmoObjectiveConfig) -> Sequence[Metric]:
    """Loss and perplexity a word of each direction and of both, beside the baselines'.

    Each window is read from the zero state, so its first words are predicted from few: the stride
    of the evaluation is the window's length. A sentence's end (backwards, its start) is predicted
    too and counted as a word. The loss of both is the mean, their perplexity its exponential.
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
        *_losses("forward_", "token_count", bigram="forward_bigram_"),
        *_losses("backward_", "token_count", bigram="backward_bigram_"),
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
        *_losses("unigram_", "prediction_count"),
        *_losses("bigram_", "prediction_count"),
        *_losses("forward_bigram_", "token_count"),
        *_losses("backward_bigram_", "token_count"),
        Metric("unigram_accuracy", "unigram_correct_count", "prediction_count"),
    )


def _losses(prefix: str, count: str, bigram: str | None = None) -> Sequence[Metric]:
    """Loss and perplexity of the sum `<prefix>nll_sum`."""
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
