import collections
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tokenizers import merges
from models.tokenizers.merges import learn_merges

WORD_COUNTS = st.dictionaries(
    st.text("abcd", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=12
)


def published(words: dict[str, int], alphabet: str, room: int) -> tuple[list[str], list]:
    """Byte-pair merges, one at a time (Sennrich et al., 2016); of equals the first by ids."""
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
def test_merges_are_those_of_the_published_algorithm(words: dict[str, int], room: int) -> None:
    assert learn_merges(words, "abcd", room) == published(words, "abcd", room)


def test_pairs_make_the_entries_best_first() -> None:
    words = {"ab": 9, "abab": 5, "cd": 1}
    assert learn_merges(words, "abcd", 10) == (["ab", "abab"], [("a", "b"), ("ab", "ab")])


def test_of_no_words_there_is_nothing_to_merge() -> None:
    assert learn_merges({}, "ab", 10) == ([], [])


def test_of_too_many_words_a_sample_in_proportion_teaches_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = {"low": 50, "lower": 20, "newest": 60, "widest": 30}
    alphabet = sorted(set("".join(words)))
    whole = learn_merges(words, alphabet, 50)
    monkeypatch.setattr(merges, "_MOST_OCCURRENCES", 16)
    assert learn_merges(words, alphabet, 50) == whole
    many = {word: 1_000_000 * count for word, count in words.items()}
    assert learn_merges(many, alphabet, 50) == whole
    monkeypatch.setattr(merges, "_MOST_OCCURRENCES", 5)
    assert learn_merges(words, alphabet, 50) != whole
