"""A text's words, and hashes of all runs of n of them: what texts are compared by."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Chinese and Japanese write no spaces: there each character stands for a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS = rf"[^\W_{_UNSPACED}]+"
_MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c)[0] == "M")
# Marks are part of a word, as the vowels of Hindi: `\w` knows letters and digits only.
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:[{_MARKS}]+(?:{_LETTERS})?)*")
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio, odd


def words_of(text: str) -> list[str]:
    """A text's words, lower-cased, without punctuation; Chinese and Japanese by character."""
    return _WORD.findall(text.lower())


def count_words(text: str) -> int:
    """How many runs between white space a text has, Chinese and Japanese by character.

    Punctuation is part of a run: this is for lengths of texts, several times as fast as `words_of`.
    """
    if text.isascii():
        return len(text.split())
    spaced, characters = _CHARACTER.subn(" ", text)
    return characters + len(spaced.split())


def hash_words(words: Sequence[str]) -> np.ndarray:
    """Hashes of words, alike on every machine and in every release: uint64 `[words]`."""
    if not words:
        return np.zeros(0, np.uint64)
    column = np.array(words, object)  # TensorFlow looks at each value of a list
    return tf.strings.to_hash_bucket_fast(column, 2**63 - 1).numpy().astype(np.uint64)


def hash_grams(words: np.ndarray, n: int) -> np.ndarray:
    """Hashes of all runs of n words, in order.

    Args:
        words: what `hash_words` gave.
        n: words of a run.

    Returns:
        uint64 `[max(words - n + 1, 0)]`.
    """
    grams = np.zeros(max(len(words) - n + 1, 0), np.uint64)
    for offset in range(n):
        grams = grams * _MULTIPLIER + words[offset : offset + len(grams)]
        grams ^= grams >> np.uint64(29)
    return grams
