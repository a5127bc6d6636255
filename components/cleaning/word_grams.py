"""Hashes words and word n-grams, by which texts are compared."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, odd


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
