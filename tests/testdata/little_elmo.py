"""An ELMo small enough for a fast test, its words, and text to make examples of."""

import collections

from models.elmo.config import ElmoBackboneConfig, ElmoConfig, ElmoObjectiveConfig
from models.tokenizers.character import CharacterTokenizer
from models.tokenizers.config import CharacterConfig
from tests.testdata.little_text import SENTENCES, text

__all__ = ["CONFIG", "text", "tokenizer"]

CONFIG = ElmoConfig(
    backbone=ElmoBackboneConfig(
        character_embedding_size=4,
        filters=((1, 4), (2, 8)),
        num_highways=1,
        units=12,
        projection_size=8,
    ),
    objective=ElmoObjectiveConfig(unroll_steps=12, num_streams=2, num_sampled=6, bigram_pairs=64),
    tokenizer=CharacterConfig(vocabulary_size=24),
)


def tokenizer() -> CharacterTokenizer:
    """The 21 most frequent words, so that others are unknown to the softmax."""
    spaced = " ".join(SENTENCES).replace(".", " .").replace(",", " ,")
    return CharacterTokenizer.learn(collections.Counter(spaced.split()), CONFIG.tokenizer)
