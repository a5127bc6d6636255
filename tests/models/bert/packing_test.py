"""Tests of packing whole sentences into rows."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.bert.packing import Packed, pack
from models.bert.pairs import Corpus
from models.objective import TokenizedDocument
from tests.testdata.likely import likely

SEPARATOR = 99


def corpus_of(lengths: list[list[int]]) -> Corpus:
    """Documents with pieces of these lengths; every token of document n is 10 n + 10."""
    return Corpus.of(
        [
            TokenizedDocument.of(
                f"{number}", "paper", "en", [np.full(n, 10 * number + 10, np.int32) for n in pieces]
            )
            for number, pieces in enumerate(lengths)
        ],
        continues_word=np.arange(1_000) % 20 == 0,
    )


def packed(
    lengths: list[list[int]], *, max_tokens: int = 10, short: float = 0.0, seed: int = 0
) -> tuple[Packed, collections.Counter[str]]:
    tally: collections.Counter[str] = collections.Counter()
    made = pack(
        corpus_of(lengths),
        max_tokens=max_tokens,
        short_seq_prob=short,
        separator=SEPARATOR,
        rng=np.random.default_rng(seed),
        tally=tally,
    )
    return made, tally


def rows(made: Packed) -> list[list[int]]:
    return [
        made.tokens[start : start + length].tolist()
        for start, length in zip(made.start, made.length, strict=True)
    ]


def test_sentences_stay_whole_and_a_separator_is_between_documents() -> None:
    made, tally = packed([[4, 4, 4]])
    assert rows(made) == [[10] * 8, [10] * 4]
    assert made.document.tolist() == [0, 0]
    assert not tally["cut_pieces"]
    made, _ = packed([[3], [3], [2]])
    (row,) = rows(made)
    assert row.count(SEPARATOR) == 2
    assert len(row) == 10
    assert SEPARATOR not in (row[0], row[-1])


def test_beginnings_of_words_are_packed_with_their_tokens() -> None:
    made, _ = packed([[3], [3], [2], [25]])
    expected = (made.tokens % 20 != 0) | (made.tokens == SEPARATOR)
    assert made.begins.tolist() == expected.tolist()
    assert 0 < made.begins.sum() < len(made.begins)


def test_a_separator_at_the_end_takes_no_room() -> None:
    made, _ = packed([[5, 5], [5, 5]])
    assert sorted(map(len, rows(made))) == [10, 10]


def test_a_piece_that_is_too_long_is_cut_and_counted() -> None:
    made, tally = packed([[23]])
    assert list(map(len, rows(made))) == [10, 10, 3]
    assert tally == {"cut_pieces": 1}


def test_without_documents_there_is_no_example() -> None:
    made, tally = packed([])
    assert len(made) == 0
    assert not tally


corpora = st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=12), min_size=1, max_size=6)


@settings(deadline=None)
@given(corpora, st.integers(2, 14), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_every_token_is_used_once(lengths, max_tokens: int, short: float, seed: int) -> None:
    made, tally = packed(lengths, max_tokens=max_tokens, short=short, seed=seed)
    used = [token for row in rows(made) for token in row if token != SEPARATOR]
    expected = corpus_of(lengths).tokens.tolist()
    assert collections.Counter(used) == collections.Counter(expected)
    assert max(map(len, rows(made))) <= max_tokens
    for row, document in zip(rows(made), made.document, strict=True):
        assert row[0] == 10 * document + 10
        assert row[-1] != SEPARATOR
        for before, after in itertools.pairwise(row):
            assert before == after or SEPARATOR in (before, after)
    assert tally["cut_pieces"] == sum(n > max_tokens for pieces in lengths for n in pieces)


def one_by_one(lengths: list[list[int]], order: list[int], max_tokens: int) -> list[list[int]]:
    """The rows, filled piece by piece."""
    made: list[list[int]] = []
    row: list[int] = []
    for document in order:
        separator = [SEPARATOR]
        for n in lengths[document]:
            for cut in range(0, n, max_tokens):
                piece = [10 * document + 10] * min(n - cut, max_tokens)
                next_tokens = (separator if row else []) + piece
                if len(row) + len(next_tokens) > max_tokens:
                    made.append(row)
                    row, next_tokens = [], piece
                row = row + next_tokens
                separator = []
    return [*made, row]


@settings(deadline=None)
@given(corpora, st.integers(2, 14), st.integers(0, 2**32 - 1))
def test_rows_are_filled_with_as_many_whole_pieces_as_fit(
    lengths, max_tokens: int, seed: int
) -> None:
    made, _ = packed(lengths, max_tokens=max_tokens, seed=seed)
    order = list(dict.fromkeys(token // 10 - 1 for token in made.tokens if token != SEPARATOR))
    assert rows(made) == one_by_one(lengths, order, max_tokens)


def test_short_target_lengths_are_uniform() -> None:
    made, _ = packed([[1] * 60_000], max_tokens=8, short=1.0)
    counts = np.bincount(made.length[:-1], minlength=9)[2:]
    assert likely(stats.chisquare(counts).pvalue)


def test_the_order_of_documents_is_random_and_uniform() -> None:
    firsts = [packed([[2], [2], [2]], seed=seed)[0].document[0] for seed in range(3_000)]
    assert likely(stats.chisquare(np.bincount(firsts)).pvalue)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_packs_the_same_rows(seed: int) -> None:
    lengths = [[3, 4], [9], [1, 1, 1]]
    assert rows(packed(lengths, short=0.5, seed=seed)[0]) == rows(
        packed(lengths, short=0.5, seed=seed)[0]
    )
