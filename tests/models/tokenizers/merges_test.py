"""Tests of learned byte-pair merges against a plain algorithm and `tokenizers`."""

import collections
import itertools
import json

import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tokenizers.merges import learn_merges
from tests.testdata.small_corpus import text

WORD_COUNTS = st.dictionaries(
    st.text("abcd", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=12
)


def published(words: dict[str, int], alphabet: str, room: int) -> tuple[list[str], list]:
    """Byte-pair merges, one at a time (Sennrich et al., 2016); ties are broken by ids."""
    split = {word: list(word) for word in words}
    ids = {symbol: number for number, symbol in enumerate(alphabet)}
    pairs = []
    while len(ids) < room:
        counts: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                counts[pair] += words[word]
        best = min(counts, key=lambda p: (-counts[p], ids[p[0]], ids[p[1]]), default=None)
        if best is None or counts[best] < 2:
            break
        pairs.append(best)
        ids.setdefault("".join(best), len(ids))
        for parts in split.values():
            for i in range(len(parts) - 1):
                if tuple(parts[i : i + 2]) == best:
                    parts[i : i + 2] = ["".join(best)]
    return list(ids)[len(alphabet) :], pairs


@settings(max_examples=30, deadline=None)
@given(WORD_COUNTS, st.integers(4, 30))
def test_merges_equal_those_of_the_published_algorithm(words: dict[str, int], room: int) -> None:
    assert learn_merges(words, "abcd", room) == published(words, "abcd", room)


def test_pairs_make_the_entries_best_first() -> None:
    words = {"ab": 9, "abab": 5, "cd": 1}
    assert learn_merges(words, "abcd", 10) == (["ab", "abab"], [("a", "b"), ("ab", "ab")])


def test_without_words_there_are_no_merges() -> None:
    assert learn_merges({}, "ab", 10) == ([], [])


def test_large_counts_are_compared_exactly() -> None:
    words = {"ab": 10_000_000, "cd": 10_000_001, "ef": 3}
    assert learn_merges(words, "abcdef", 99)[0] == ["cd", "ab", "ef"]
    words = {"low": 50, "lower": 20, "newest": 60, "widest": 30}
    alphabet = sorted(set("".join(words)))
    many = {word: 1_000_000_000_000 * count for word, count in words.items()}
    assert learn_merges(many, alphabet, 50) == learn_merges(words, alphabet, 50)


def library(words: dict[str, int], alphabet: str, room: int) -> tuple[list[str], list]:
    """The vocabulary that the trainer of `tokenizers` learns from running text."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=room, min_frequency=2, initial_alphabet=list(alphabet), show_progress=False
    )
    model.train_from_iterator((" ".join([word] * words[word]) for word in words), trainer)
    learned = model.get_vocab()
    entries = sorted((entry for entry in learned if len(entry) > 1), key=learned.__getitem__)
    return entries, [(a, b) for a, b in json.loads(model.to_str())["model"]["merges"]]


def test_merges_equal_those_of_tokenizers() -> None:
    texts = " ".join(f"{text(number)} aaa aaaa aabaabaa" for number in range(60))
    words = collections.Counter(texts.replace(".", " . ").split())
    alphabet = "".join(sorted(set("".join(words))))
    found = learn_merges(words, alphabet, 1_000)
    assert found == library(words, alphabet, 1_000)
    assert len(found[0]) > 100
    assert learn_merges(dict(reversed(words.items())), alphabet, 1_000) == found


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("ab", min_size=1, max_size=12), st.integers(1, 9), min_size=1))
def test_letters_that_repeat_are_merged_from_left_to_right(words: dict[str, int]) -> None:
    assert learn_merges(words, "ab", 40) == library(words, "ab", 40) == published(words, "ab", 40)
