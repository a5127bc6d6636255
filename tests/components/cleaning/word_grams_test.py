"""Tests of hashing words and word n-grams."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.cleaning.word_grams import hash_ngrams, hash_words


def test_hashes_are_the_same_on_every_machine_and_in_every_release() -> None:
    # They decide which documents are dropped, so other hashes would change a corpus.
    assert hash_words(["the", "bank"]).tolist() == [7003889267569045354, 1838118792855149789]
    assert hash_words([]).tolist() == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6))
def test_ngrams_have_the_same_hash_only_if_they_are_equal(words: list[str], n: int) -> None:
    ngram_hashes = hash_ngrams(hash_words(words), n).tolist()
    ngrams = [tuple(words[begin : begin + n]) for begin in range(max(len(words) - n + 1, 0))]
    assert len(ngram_hashes) == len(ngrams)
    pairs = set(zip(ngrams, ngram_hashes, strict=True))
    assert len(pairs) == len(set(ngrams)) == len(set(ngram_hashes))


def test_hashes_depend_on_the_order() -> None:
    first, second = (hash_ngrams(hash_words([*words]), 2) for words in ("ab", "ba"))
    assert first.dtype == np.uint64
    assert first.tolist() != second.tolist()
