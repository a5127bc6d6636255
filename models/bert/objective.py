"""BERT's objective: masked words and next sentence (Devlin et al., 2019, section 3.1)."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from models.bert import examples, serving
from models.bert.backbone import BertEncoder
from models.bert.config import BertObjectiveConfig
from models.bert.segmenter import load_segmenter
from models.counts import Counts
from models.objective import (
    Example,
    Examples,
    FeatureSpec,
    Loss,
    Objective,
    RenderedToken,
    TokenizedDocument,
)
from models.tokenizers.sentences import is_chinese, split_sentences
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.wordpiece import CONTINUATION

if TYPE_CHECKING:
    from models.bert.pretraining import BertPretraining


class BertObjective(Objective):
    """Implements `models.objective.Objective`.

    Args:
        config: lengths, probabilities and thresholds.
        tokenizer: provides the special ids and the size of the vocabulary.
    """

    def __init__(self, config: BertObjectiveConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.special_ids = dict(tokenizer.special_ids)
        self.vocabulary_size = len(tokenizer.vocabulary)
        self._pairs = config.second_segment != "none"
        self._segmenter: Callable[[str], Sequence[str]] | None = None
        self._continues_word = np.array(
            [word.startswith(CONTINUATION) for word in tokenizer.vocabulary]
        )

    def feature_spec(self) -> FeatureSpec:
        """See `models.bert.examples.feature_spec`."""
        return examples.feature_spec(self.config)

    def split(self, text: str, lang: str) -> list[str]:
        """Sentences."""
        return split_sentences(text, lang)

    def segmenter(self, lang: str) -> Callable[[str], Sequence[str]] | None:
        """Cuts Chinese, whose tokens are characters, into words, if words are masked whole."""
        if not (self.config.whole_word_mask and self.config.segmenter and is_chinese(lang)):
            return None
        if self._segmenter is None:  # loaded for the first Chinese text: it may not be installed
            self._segmenter = load_segmenter(self.config.segmenter)
        return self._segmenter

    def make_examples(
        self,
        documents: Sequence[TokenizedDocument],
        rng: np.random.Generator,
        tally: collections.Counter[str],
        *,
        held_out: bool = False,
    ) -> Iterator[Examples]:
        """See `models.bert.examples.make_examples`.

        Held-out examples have the settings `dupe_factor=1` and `mask_prob=eval_mask_prob`. Several
        copies of a document would make evaluation several times as expensive, and would not
        be independent of each other.
        """
        config = self.config
        if held_out:
            config = dataclasses.replace(config, dupe_factor=1, mask_prob=config.eval_mask_prob)
        return examples.make_examples(
            documents, config, self.special_ids, self._continues_word, rng, tally
        )

    def render_example(
        self, example: Example, tokenizer: Tokenizer
    ) -> Sequence[Sequence[RenderedToken]]:
        """See `models.bert.examples.render_example`."""
        return [examples.render_example(example, tokenizer.vocabulary, self.special_ids)]

    def build_model(self, backbone: BertEncoder) -> BertPretraining:
        """The encoder with both heads."""
        from models.bert.pretraining import BertPretraining  # KerasHub, as in backbone.py

        return BertPretraining(backbone, pairs=self._pairs)

    def losses(self) -> Sequence[Loss]:
        """Both terms have the same weight, as in the paper."""
        words = Loss("masked_lm_nll_sum", "masked_lm_token_count")
        if not self._pairs:
            return (words,)
        return words, Loss("next_sentence_nll_sum", "next_sentence_count")

    def denominators(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Masked words and pairs per example, float32 `[batch]`."""
        weights = tf.cast(features["mask_weights"], tf.float32)
        counts = {"masked_lm_token_count": tf.reduce_sum(weights, axis=-1)}
        if self._pairs:
            counts["next_sentence_count"] = tf.ones_like(weights[:, 0])
        return counts

    def multiply_adds(self, model: BertPretraining, time: int) -> float:
        """All layers at each position, and the head at masked positions."""
        shape, width = model.backbone.config, model.backbone.config.hidden_size
        rows = model.backbone.token_embedding.input_dim
        layer = 4 * width**2 + 2 * width * shape.intermediate_size + 2 * time * width
        head = width**2 + width * rows
        return time * shape.num_layers * layer + self.config.max_predictions_per_seq * head

    def logits_per_example(self) -> int:
        """A logit for each entry of the vocabulary at each masked position."""
        return self.config.max_predictions_per_seq * self.vocabulary_size

    def count(self, examples: Examples) -> Mapping[str, np.ndarray]:
        """Masked words, and the labels of pairs."""
        keys = {"words": examples["mask_ids"][examples["mask_weights"] > 0]}
        if self._pairs:
            keys["next_sentence"] = examples["next_sentence_label"]
        return keys

    def fill_baselines(self, model: BertPretraining, counts: Mapping[str, Counts]) -> None:
        """Fills the baselines of masked words and of pairs' labels."""
        model.unigram.fill(counts["words"].dense(model.unigram.vocabulary_size))
        if model.majority is not None:
            model.majority.fill(counts["next_sentence"].dense(2))

    def signatures(self, model: BertPretraining, tokenizer: Tokenizer) -> Mapping[str, Callable]:
        """See `models.bert.serving.make_signatures`; texts are cut to the length of training."""
        return serving.make_signatures(model, tokenizer, self.config.sequence_length)

    def warmup_requests(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `models.bert.serving.warmup_requests`."""
        return serving.warmup_requests(pairs=self._pairs)
