"""Configuration of the tokenizers. Free of TensorFlow."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class WordPieceConfig:
    """WordPiece as in BERT; see models/tokenizers/wordpiece.py."""

    vocabulary_size: int = 30_522
    """Entries to learn, special tokens included; a given vocabulary file has its own size."""
    lowercase: bool = True
    """Lower-case and strip accents, as the uncased models do."""
    max_word_bytes: int = 100
    """Words longer than this, in UTF-8 bytes, become [UNK]."""
