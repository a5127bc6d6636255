"""BERT's configuration: sizes, objective, tokenizer. Free of TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from models.tokenizers.config import WordPieceConfig


@dataclasses.dataclass(frozen=True)
class BertBackboneConfig:
    """Shape of the encoder (Devlin et al., 2019, section 3)."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    intermediate: int = 3072
    """Width of the feed-forward layer."""
    dropout: float = 0.1
    initializer_range: float = 0.02
    """Standard deviation of the first kernels. The published value suits a width of 768; a narrow
    encoder that starts so near to zero learns word frequencies and then no more, so give about
    1/sqrt(width). Embeddings, which a normalization follows, start at 0.02 whatever the width."""
    max_length: int = 512
    """Positions that have an embedding, in tokens."""


SIZES: Mapping[str, BertBackboneConfig] = {
    "tiny": BertBackboneConfig(2, 128, 2, 512, initializer_range=0.05),
    "mini": BertBackboneConfig(4, 256, 4, 1024),
    "small": BertBackboneConfig(4, 512, 8, 2048),
    "medium": BertBackboneConfig(8, 512, 8, 2048),
    "base": BertBackboneConfig(12, 768, 12, 3072),
    "large": BertBackboneConfig(24, 1024, 16, 4096),
}
"""The published sizes (Devlin et al., 2019; Turc et al., 2019)."""


@dataclasses.dataclass(frozen=True)
class BertObjectiveConfig:
    """Masked words and a second segment, with google-research/bert's defaults."""

    sequence_length: int = 128
    """Tokens of an example, special tokens included."""
    second_segment: Literal["next_sentence", "sentence_order", "none"] = "next_sentence"
    """What stands beside the first segment, and is to be told: half of the time what follows it,
    else something of another document (BERT); what follows it, the two changing places half of the
    time (ALBERT); nothing: full sentences are packed, across documents, and words are masked and no
    more (RoBERTa)."""
    max_predictions: int = 20
    """Masked positions of an example, at most."""
    masked_share: float = 0.15
    eval_masked_share: float = 0.15
    """Share of masked tokens in the evaluation split, so that models trained with different
    shares are compared on the same task."""
    whole_words: bool = False
    """Masks all pieces of a word or none, as google-research/bert's later checkpoints."""
    segmenter: str = "jieba:lcut"
    """What cuts Chinese into the words that `whole_words` masks: `module:function`, text to words;
    empty takes characters for words. Caches know it by its name alone: where what it does changes,
    give it another."""
    longest_ngram: int = 1
    """Words in a row, or tokens without `whole_words`, that are masked together at most; n of them
    with a probability that goes by 1/n (ALBERT: 3)."""
    short_sequence_share: float = 0.1
    """Share of examples that aim at a random shorter length."""
    dupe_factor: int = 10
    """Times each document of the training split is used, with other masks and cuts; those of the
    evaluation split are used once."""
    min_masked_lm_accuracy: float = 0.0
    """Blessing needs at least this on the evaluation split."""
    min_next_sentence_accuracy: float = 0.0
    min_accuracy_over_unigram: float = 1.0
    """Blessing needs masked-LM accuracy of at least this many times the unigram baseline's."""
    max_regression: float = 0.02
    """Largest loss of masked-LM accuracy against the last blessed model, absolute."""


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Everything that makes a BERT but the data and the training."""

    family: Literal["bert"] = "bert"
    backbone: BertBackboneConfig = dataclasses.field(default_factory=lambda: SIZES["base"])
    objective: BertObjectiveConfig = dataclasses.field(default_factory=BertObjectiveConfig)
    tokenizer: WordPieceConfig = dataclasses.field(default_factory=WordPieceConfig)
