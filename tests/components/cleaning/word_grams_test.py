"""Tests of splitting texts into words and of hashing word n-grams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.cleaning.word_grams import count_words, hash_ngrams, hash_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("The bank's *river*-bank, 3.5!", ["the", "bank", "s", "river", "bank", "3", "5"]),
        ("snake_case", ["snake", "case"]),
        ("河岸 bank 銀行", ["河", "岸", "bank", "銀", "行"]),
        ("これはペンです", list("これはペンです")),
        ("𠀀𠀁b", ["𠀀", "𠀁", "b"]),
        ("नदी का किनारा।", ["नदी", "का", "किनारा"]),
        ("e\u0301te\u0301 \u0301x", ["e\u0301te\u0301", "x"]),
        ("Überfluß ÉTÉ", ["überfluß", "été"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_hashes_are_those_of_every_machine_and_release() -> None:
    # They decide which documents are dropped, so other values would change a corpus.
    assert hash_words(["the", "bank"]).tolist() == [7003889267569045354, 1838118792855149789]
    assert hash_words([]).tolist() == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6))
def test_runs_have_one_hash_only_if_they_are_alike(words: list[str], n: int) -> None:
    ngram_hashes = hash_ngrams(hash_words(words), n).tolist()
    ngrams = [tuple(words[begin : begin + n]) for begin in range(max(len(words) - n + 1, 0))]
    assert len(ngram_hashes) == len(ngrams)
    pairs = set(zip(ngrams, ngram_hashes, strict=True))
    assert len(pairs) == len(set(ngrams)) == len(set(ngram_hashes))


def test_order_counts() -> None:
    first, second = (hash_ngrams(hash_words([*words]), 2) for words in ("ab", "ba"))
    assert first.dtype == np.uint64
    assert first.tolist() != second.tolist()


def test_words_are_counted_by_white_space_and_chinese_by_character() -> None:
    assert count_words("The river rose, twice.") == 4
    assert count_words("Cafés  close\n") == 2
    assert count_words("船长 sailed home。") == 4
    assert count_words("") == 0
