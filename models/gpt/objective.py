"""GPT's objective: the next token (Radford et al., 2018, section 3.1)."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.baselines import following
from models.counts import Counts
from models.gpt import examples, serving
from models.gpt.backbone import GptDecoder
from models.gpt.config import GptObjectiveConfig
from models.gpt.pretraining import GptPretraining
from models.objective import (
    Example,
    Examples,
    FeatureSpec,
    Loss,
    Objective,
    RenderedToken,
    TokenizedDocument,
)
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.tokenizer import Tokenizer


class GptObjective(Objective):
    """Implements `models.objective.Objective`.

    Args:
        config: length and thresholds.
        tokenizer: provides end-of-text and the bytes of every token.
    """

    def __init__(self, config: GptObjectiveConfig, tokenizer: ByteBpeTokenizer) -> None:
        self.config = config
        self.end_of_text = tokenizer.special_ids["end_of_text"]
        self.entries = tokenizer.token_bytes

    def feature_spec(self) -> FeatureSpec:
        """See `models.gpt.examples.feature_spec`."""
        return examples.feature_spec(self.config)

    def make_examples(
        self,
        documents: Sequence[TokenizedDocument],
        rng: np.random.Generator,
        tally: collections.Counter[str],
        *,
        held_out: bool = False,
    ) -> Iterator[Examples]:
        """See `models.gpt.examples.make_examples`; `held_out` changes nothing."""
        return examples.make_examples(
            documents, self.config, self.end_of_text, self.entries, rng, tally
        )

    def render_example(
        self, example: Example, tokenizer: Tokenizer
    ) -> Sequence[Sequence[RenderedToken]]:
        """See `models.gpt.examples.render_example`."""
        return [examples.render_example(example, self.entries, self.end_of_text)]

    def build_model(self, backbone: GptDecoder) -> GptPretraining:
        """The decoder with its head; it separates documents if the configuration says so."""
        if self.config.separate_documents:
            backbone = GptDecoder(backbone.decoder, separate_documents=True)
        return GptPretraining(backbone, self.config.bigram_pairs)

    def losses(self) -> Sequence[Loss]:
        """One term."""
        return (Loss("nll_sum", "token_count"),)

    def denominators(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Tokens to predict per example, float32 `[batch]`."""
        real = tf.cast(features["padding_mask"], tf.float32)
        return {"token_count": tf.reduce_sum(real, axis=-1)}

    def multiply_adds(self, model: GptPretraining, time: int) -> float:
        """All layers and the head at each position; attention reads half a window on average."""
        decoder = model.backbone.decoder
        width = decoder.config.hidden_size
        layer = 12 * width**2 + time * width
        return time * (
            decoder.config.num_layers * layer + width * decoder.token_embedding.input_dim
        )

    def logits_per_example(self) -> int:
        """A logit for each entry of the vocabulary at each position."""
        return self.config.sequence_length * len(self.entries)

    def count(self, examples: Examples) -> Mapping[str, np.ndarray]:
        """Pairs of a token and its label."""
        real = examples["padding_mask"] > 0
        tokens, labels = (examples[name][real] for name in ("token_ids", "label_ids"))
        return {"pairs": tokens.astype(np.int64) * len(self.entries) + labels}

    def fill_baselines(self, model: GptPretraining, counts: Mapping[str, Counts]) -> None:
        """Fills both baselines."""
        model.unigram.fill(following(counts["pairs"], len(self.entries)))
        model.bigram.fill(counts["pairs"])

    def signatures(
        self, model: GptPretraining, tokenizer: ByteBpeTokenizer
    ) -> Mapping[str, Callable]:
        """See `models.gpt.serving.make_signatures`; contexts are as long as in training."""
        return serving.make_signatures(model, tokenizer, self.config.sequence_length)

    def warmup_requests(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `models.gpt.serving.warmup_requests`."""
        return serving.warmup_requests()
