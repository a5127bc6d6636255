"""ELMo's objective: the next and the previous word (Peters et al., 2018, section 3.1)."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.baselines import smoothed
from models.counts import Counts
from models.elmo import distinct, examples, serving
from models.elmo.backbone import ElmoEncoder
from models.elmo.config import ElmoObjectiveConfig
from models.elmo.examples import read_ids
from models.elmo.lstm import DIRECTIONS
from models.elmo.pretraining import ElmoPretraining
from models.objective import (
    Example,
    Examples,
    FeatureSpec,
    Loss,
    Objective,
    RenderedToken,
    TokenizedDocument,
)
from models.tokenizers.character import CharacterTokenizer
from models.tokenizers.sentences import split_sentences
from models.tokenizers.tokenizer import Tokenizer


class ElmoObjective(Objective):
    """Implements `models.objective.Objective`.

    Args:
        config: windows, streams and thresholds.
        tokenizer: provides the softmax's words.
    """

    def __init__(self, config: ElmoObjectiveConfig, tokenizer: CharacterTokenizer) -> None:
        self.config = config
        self.vocabulary_size = len(tokenizer.vocabulary)
        self._word_ids = tokenizer.word_ids

    @property
    def streams(self) -> int:
        """The number of streams of a file's examples."""
        return self.config.num_streams

    def feature_spec(self) -> FeatureSpec:
        """See `models.elmo.examples.feature_spec`."""
        return examples.feature_spec(self.config)

    def split(self, text: str, lang: str) -> list[str]:
        """Sentences."""
        return split_sentences(text, lang)

    def make_examples(
        self,
        documents: Sequence[TokenizedDocument],
        rng: np.random.Generator,
        tally: collections.Counter[str],
        *,
        held_out: bool = False,
    ) -> Iterator[Examples]:
        """See `models.elmo.examples.make_examples`; held-out examples are windows of one stream.

        Evaluation reads each window from the zero state, so it needs neither rounds of streams nor
        the empty windows that fill the last round.
        """
        config = dataclasses.replace(self.config, num_streams=1) if held_out else self.config
        return examples.make_examples(documents, config, self._word_ids, rng, tally)

    def prepare(self, features: Mapping[str, tf.Tensor], rows: int) -> Mapping[str, tf.Tensor]:
        """See `models.elmo.distinct.prepare`."""
        return distinct.prepare(features, rows)

    def render_example(
        self, example: Example, tokenizer: Tokenizer
    ) -> Sequence[Sequence[RenderedToken]]:
        """See `models.elmo.examples.render_example`."""

        def words(rows: np.ndarray) -> Sequence[str]:
            return [word.decode() for word in tokenizer.tokens(tf.constant(rows)).numpy()]

        return examples.render_example(example, words, tokenizer.vocabulary)

    def build_model(self, backbone: ElmoEncoder) -> ElmoPretraining:
        """The encoder with the softmax."""
        return ElmoPretraining(backbone, self.config, self.vocabulary_size)

    def losses(self) -> Sequence[Loss]:
        """The mean of both directions."""
        return tuple(
            Loss(f"{direction}_nll_sum", "token_count", weight=0.5) for direction in DIRECTIONS
        )

    def denominators(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Words to predict in each direction per example, float32 `[batch]`."""
        real = tf.cast(features["padding_mask"], tf.float32)
        return {"token_count": tf.reduce_sum(real, axis=-1)}

    def multiply_adds(self, model: ElmoPretraining, time: int) -> float:
        """LSTMs and softmax of both directions, without the token layer."""
        shape = model.backbone.config
        words = self.config.num_sampled or self.vocabulary_size
        lstms = shape.num_layers * 9 * shape.units * shape.projection_size
        return 2 * time * (lstms + min(words, self.vocabulary_size) * shape.projection_size)

    def logits_per_example(self) -> int:
        """A logit for each direction, position and word: evaluation does not sample."""
        return 2 * self.config.unroll_steps * self.vocabulary_size

    def count(self, examples: Examples) -> Mapping[str, np.ndarray]:
        """Words of both directions, and pairs of a word and the word that it predicts."""
        real = examples["padding_mask"] > 0
        labels = {name: examples[name][real] for name in ("next_ids", "previous_ids")}
        pairs = {
            f"{direction}_pairs": np.asarray(ids, np.int64)[real] * self.vocabulary_size + label
            for direction, ids, label in zip(
                DIRECTIONS, read_ids(examples), labels.values(), strict=True
            )
        }
        return {"words": np.concatenate([*labels.values()]), **pairs}

    def initialize(self, model: ElmoPretraining, counts: Mapping[str, Counts]) -> None:
        """Sets the softmax's bias to the logarithms of the words' frequencies.

        From 0, the bias of a rare word would take many optimizer steps to get there.
        """
        model.softmax.bias.assign(smoothed(counts["words"].dense(self.vocabulary_size)))

    def fill_baselines(self, model: ElmoPretraining, counts: Mapping[str, Counts]) -> None:
        """Fills the baselines of words of both directions and of pairs of each direction."""
        model.unigram.fill(counts["words"].dense(model.unigram.vocabulary_size))
        model.forward_bigram.fill(counts["forward_pairs"])
        model.backward_bigram.fill(counts["backward_pairs"])

    def signatures(
        self, model: ElmoPretraining, tokenizer: CharacterTokenizer
    ) -> Mapping[str, Callable]:
        """See `models.elmo.serving.make_signatures`."""
        return serving.make_signatures(model, tokenizer)

    def warmup_requests(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `models.elmo.serving.warmup_requests`."""
        return serving.warmup_requests()
