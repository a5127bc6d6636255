"""A BERT small enough for a fast test, its words, and text to make examples of."""

import numpy as np

from models.bert.config import BertBackboneConfig, BertConfig, BertObjectiveConfig
from models.objective import TokenizedDocument
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.wordpiece import WordPieceTokenizer
from tests.testdata.little_text import text

__all__ = ["CONFIG", "SPECIAL", "WORDS", "documents", "text", "tokenizer"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the", "a", "river", "bank", "rose", "fell", "ship", "##s", "sail", "##ed", "past", "our",
    "we", "count", "money", "at", "of", "in", "spring", "rain", "and", "wind", ".", ",", "not",
)  # fmt: skip

CONFIG = BertConfig(
    backbone=BertBackboneConfig(
        num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32, dropout=0.1, max_length=32
    ),
    objective=BertObjectiveConfig(sequence_length=24, max_predictions_per_seq=4, dupe_factor=3),
    tokenizer=WordPieceConfig(vocabulary_size=len(SPECIAL) + len(WORDS)),
)


def tokenizer() -> WordPieceTokenizer:
    """WordPiece over thirty entries."""
    return WordPieceTokenizer([*SPECIAL, *WORDS], CONFIG.tokenizer)


def documents(
    count: int, *, seed: int = 0, pieces: int = 12, longest: int = 9
) -> list[TokenizedDocument]:
    """Documents of 1 to `pieces` pieces of 1 to `longest` ordinary ids."""
    rng = np.random.default_rng(seed)
    return [
        TokenizedDocument.of(
            id=f"document {number}",
            source=("paper", "letters")[number % 2],
            lang="en",
            pieces=[
                rng.integers(len(SPECIAL), len(SPECIAL) + len(WORDS), length, np.int32)
                for length in rng.integers(1, longest + 1, rng.integers(1, pieces + 1))
            ],
        )
        for number in range(count)
    ]
