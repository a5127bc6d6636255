"""A GPT small enough for a fast test, its words, and text to make examples of."""

import collections

from models.gpt.config import GptBackboneConfig, GptConfig, GptObjectiveConfig
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.config import ByteBpeConfig
from tests.testdata.little_text import SENTENCES, text

__all__ = ["CONFIG", "text", "tokenizer"]

CONFIG = GptConfig(
    backbone=GptBackboneConfig(
        num_layers=2, hidden_size=16, num_heads=2, dropout=0.1, max_length=24
    ),
    objective=GptObjectiveConfig(sequence_length=24, bigram_pairs=64),
    tokenizer=ByteBpeConfig(vocabulary_size=300),
)


def tokenizer() -> ByteBpeTokenizer:
    """Byte-level BPE with 43 merges."""
    words = collections.Counter(" ".join(SENTENCES).split(" "))
    return ByteBpeTokenizer.learn(
        {f" {word}": number for word, number in words.items()}, CONFIG.tokenizer
    )
