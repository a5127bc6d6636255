"""Splits texts into words, and hashes word n-grams, by which texts are compared."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Chinese and Japanese are written without spaces, so each of their characters counts as a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS = rf"[^\W_{_UNSPACED}]+"
_MARKS = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c)[0] == "M")
# Combining marks, such as the vowels of Hindi, are part of a word, but `\w` does not match them.
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:[{_MARKS}]+(?:{_LETTERS})?)*")
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, odd


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; Chinese and Japanese by character."""
    return _WORD.findall(text.lower())


def count_words(text: str) -> int:
    """The number of words between white space, Chinese and Japanese by character.

    Punctuation is part of a word here. This is several times as fast as `split_words`, and is for
    measuring the length of texts.
    """
    if text.isascii():
        return len(text.split())
    spaced, characters = _CHARACTER.subn(" ", text)
    return characters + len(spaced.split())


def hash_words(words: Sequence[str]) -> np.ndarray:
    """Hashes of words, the same on every machine and in every release: uint64 `[words]`."""
    if not words:
        return np.zeros(0, np.uint64)
    column = np.array(words, object)  # a list is slower, because TensorFlow inspects every element
    return tf.strings.to_hash_bucket_fast(column, 2**63 - 1).numpy().astype(np.uint64)


def hash_ngrams(words: np.ndarray, n: int) -> np.ndarray:
    """Hashes of all word n-grams of a text, in order.

    Args:
        words: hashes of the words, uint64 `[words]`, see `hash_words`.
        n: words of an n-gram.

    Returns:
        uint64 `[max(words - n + 1, 0)]`.
    """
    ngrams = np.zeros(max(len(words) - n + 1, 0), np.uint64)
    for offset in range(n):
        ngrams = ngrams * _MULTIPLIER + words[offset : offset + len(ngrams)]
        ngrams ^= ngrams >> np.uint64(29)
    return ngrams
