"""Tests of drawing sentence pairs, against the published algorithm."""

import collections
import dataclasses
import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.bert.pairs import Corpus, Pairs, make_pairs, truncate_pairs
from models.framing import longest_first
from models.objective import TokenizedDocument
from tests.testdata.likely import likely

NEVER = np.zeros(10, np.bool_)  # no token continues a word
Lengths = list[list[int]]  # piece lengths of each document


def corpus_of(lengths: Lengths) -> Corpus:
    return Corpus.of(
        [
            TokenizedDocument.of(
                f"{number}", "paper", "en", [np.zeros(n, np.int32) for n in pieces]
            )
            for number, pieces in enumerate(lengths)
        ],
        NEVER,
    )


def boundaries(corpus: Corpus) -> Lengths:
    """Where each document's pieces begin, and its end."""
    return [
        corpus.edges[begin : end + 1].tolist() for begin, end in itertools.pairwise(corpus.first)
    ]


def pairs_of(
    lengths: Lengths,
    *,
    seed: int = 0,
    passes: int = 1,
    max_tokens: int = 20,
    short: float = 0.1,
    sentence_order: bool = False,
) -> tuple[Pairs, collections.Counter[str]]:
    tally: collections.Counter[str] = collections.Counter()
    made = make_pairs(
        corpus_of(lengths),
        max_tokens=max_tokens,
        short_seq_prob=short,
        passes=passes,
        rng=np.random.default_rng(seed),
        tally=tally,
        sentence_order=sentence_order,
    )
    return made, tally


def test_documents_are_concatenated() -> None:
    corpus = Corpus.of(
        [
            TokenizedDocument.of("a", "paper", "en", [np.array([5, 6], np.int32), np.array([7])]),
            TokenizedDocument.of("b", "nothing", "en", []),
            TokenizedDocument.of("c", "letters", "en", [np.array([8, 9])]),
        ],
        NEVER,
    )
    assert corpus.tokens.tolist() == [5, 6, 7, 8, 9]
    assert corpus.edges.tolist() == [0, 2, 3, 5]
    assert corpus.first.tolist() == [0, 2, 3]
    assert corpus.sources == [b"paper", b"letters"]


def test_beginnings_of_words_come_from_the_document_or_from_its_tokens() -> None:
    pieces = [np.array([5, 6, 6]), np.array([6, 5])]
    begins_a = np.array([True, True, False, False, True])
    corpus = Corpus.of(
        [
            dataclasses.replace(TokenizedDocument.of("a", "paper", "zh", pieces), begins=begins_a),
            TokenizedDocument.of("b", "paper", "zh", []),
            TokenizedDocument.of("c", "paper", "en", pieces),
        ],
        continues_word=np.arange(10) == 6,
    )
    begins = [*[True, True, False], *[False, True], *[True, False, False], *[False, True]]
    assert corpus.begins.tolist() == begins


def test_without_documents_there_is_no_pair() -> None:
    made, tally = pairs_of([])
    assert len(made) == 0
    assert not tally


corpora = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=15), min_size=2, max_size=5)


@settings(deadline=None)
@given(corpora, st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_pairs_are_runs_of_whole_pieces(lengths: Lengths, seed: int, passes: int) -> None:
    corpus = corpus_of(lengths)
    made, _ = pairs_of(lengths, seed=seed, passes=passes)
    for document, a, a_length, b, b_length, follows in zip(*vars(made).values(), strict=True):
        own = boundaries(corpus)[document]
        assert a in own
        assert a + a_length in own
        assert a_length > 0
        assert b_length > 0
        if follows:
            assert b == a + a_length
            assert b + b_length in own
        else:
            assert not own[0] <= b < own[-1]
            assert any(b in other and b + b_length in other for other in boundaries(corpus))


@settings(deadline=None)
@given(corpora, st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_every_piece_is_used_once_per_pass(lengths: Lengths, seed: int, passes: int) -> None:
    """The pieces of a chunk that a random next sentence replaces are put back."""
    made, _ = pairs_of(lengths, seed=seed, passes=passes)
    used: collections.Counter[int] = collections.Counter()
    for start, length in zip(made.a_start, made.a_length, strict=True):
        used.update(range(start, start + length))
    follows = made.follows == 1
    for start, length in zip(made.b_start[follows], made.b_length[follows], strict=True):
        used.update(range(start, start + length))
    assert used == collections.Counter(
        dict.fromkeys(range(sum(itertools.chain.from_iterable(lengths))), passes)
    )


def published(lengths: Lengths, max_tokens: int, short: float, rng: random.Random) -> list[tuple]:
    """The published algorithm, piece by piece: (A's tokens, B's tokens, follows), not truncated."""
    pairs = []
    for number, document in enumerate(lengths):
        target = max_tokens
        if rng.random() < short:
            target = rng.randint(2, max_tokens)
        chunk: list[int] = []
        i = 0
        while i < len(document):
            chunk.append(document[i])
            if i == len(document) - 1 or sum(chunk) >= target:
                a_end = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
                a = sum(chunk[:a_end])
                if len(chunk) == 1 or rng.random() < 0.5:
                    follows, b = 0, 0
                    other = number
                    while other == number:
                        other = rng.randint(0, len(lengths) - 1)
                    for piece in lengths[other][rng.randint(0, len(lengths[other]) - 1) :]:
                        b += piece
                        if b >= target - a:
                            break
                    i -= len(chunk) - a_end
                else:
                    follows, b = 1, sum(chunk[a_end:])
                pairs.append((a, b, follows))
                chunk = []
            i += 1
    return pairs


def test_the_distribution_of_pairs_is_that_of_the_published_algorithm() -> None:
    lengths = [[3, 9, 4, 4, 7, 2, 8], [5, 5, 12, 1, 6], [25, 2], [6]]
    rounds = 4_000
    made, _ = pairs_of(lengths, passes=rounds, max_tokens=20, short=0.2)
    ours = collections.Counter(
        zip(made.a_length.tolist(), made.b_length.tolist(), made.follows.tolist(), strict=True)
    )
    rng = random.Random(1)
    theirs = collections.Counter(
        pair for _ in range(rounds) for pair in published(lengths, 20, 0.2, rng)
    )
    kinds = [kind for kind in ours | theirs if ours[kind] + theirs[kind] >= 20]
    assert len(kinds) > 50
    table = [[count[kind] for kind in kinds] for count in (ours, theirs)]
    assert likely(stats.chi2_contingency(table).pvalue)


def test_the_number_of_pairs_is_that_of_the_published_algorithm() -> None:
    lengths = [[3, 9, 4, 4, 7, 2, 8], [5, 5, 12, 1, 6], [25, 2], [6]]
    rounds = 3_000
    ours = [len(pairs_of(lengths, seed=seed, short=0.2)[0]) for seed in range(rounds)]
    rng = random.Random(2)
    theirs = [len(published(lengths, 20, 0.2, rng)) for _ in range(rounds)]
    assert likely(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def test_every_other_document_is_an_equally_likely_partner() -> None:
    # Documents are drawn, not pieces: one of 40 pieces is as likely as one of 2.
    lengths = [[4] * 12, [4] * 40, [4] * 2, [4] * 7, [4], [4] * 20]
    made, _ = pairs_of(lengths, passes=4_000, max_tokens=16, short=0.0)
    ends = np.cumsum([sum(document) for document in lengths])
    partners = np.searchsorted(ends, made.b_start, side="right")
    for document in range(len(lengths)):
        drawn = partners[(made.document == document) & (made.follows == 0)]
        counts = np.bincount(drawn, minlength=len(lengths))
        assert counts[document] == 0
        assert likely(stats.chisquare(np.delete(counts, document)).pvalue)


def test_a_single_document_has_no_random_partner() -> None:
    made, tally = pairs_of([[4] * 21], max_tokens=16, short=0.0)
    assert made.follows.tolist() == [1] * 5
    assert tally == {"pairs_without_partner": 5, "chunks_without_partner": 1}


def test_a_chunk_of_one_piece_takes_a_random_partner() -> None:
    made, _ = pairs_of([[30], [30], [30]], passes=50)
    assert not made.follows.any()
    assert set(made.b_start[made.document == 0].tolist()) == {30, 60}


@pytest.mark.parametrize("max_tokens", [2, 3, 10, 11])
def test_truncation_removes_tokens_of_the_longer_side(max_tokens: int) -> None:
    a, b = map(np.ravel, np.meshgrid(np.arange(1, 25), np.arange(1, 25)))
    expected = []
    for left, right in zip(a.tolist(), b.tolist(), strict=True):
        while left + right > max_tokens:
            left, right = (left - 1, right) if left > right else (left, right - 1)
        expected.append((left, right))
    left = (side.numpy().tolist() for side in longest_first(a, b, max_tokens))
    assert list(zip(*left, strict=True)) == expected


def test_truncation_cuts_front_and_back_at_random() -> None:
    n = 20_000
    column = np.ones(n, np.int64)
    pairs = Pairs(0 * column, 100 * column, 14 * column, 300 * column, 10 * column, column)
    tally: collections.Counter[str] = collections.Counter()
    cut = truncate_pairs(pairs, 16, np.random.default_rng(0), tally)
    assert set(cut.a_length) == {8}
    assert set(cut.b_length) == {8}
    assert tally == {"truncated_tokens": 8 * n}
    for start, taken in ((cut.a_start - 100, 6), (cut.b_start - 300, 2)):
        observed = np.bincount(start, minlength=taken + 1)
        expected = n * stats.binom.pmf(np.arange(taken + 1), taken, 0.5)
        assert likely(stats.chisquare(observed, expected).pvalue)


def test_short_target_lengths_are_uniform() -> None:
    made, _ = pairs_of([[1] * 40, [1]], passes=20_000, max_tokens=8, short=1.0)
    first = (made.document == 0) & (made.a_start == 0) & (made.follows == 1)
    targets = np.bincount((made.a_length + made.b_length)[first], minlength=9)[2:]
    assert likely(stats.chisquare(targets).pvalue)


@settings(deadline=None)
@given(corpora, st.integers(0, 2**32 - 1))
def test_ordered_pairs_are_adjacent_in_one_document(lengths: Lengths, seed: int) -> None:
    corpus = corpus_of(lengths)
    made, tally = pairs_of(lengths, seed=seed, sentence_order=True)
    used = 0
    for document, a, a_length, b, b_length, follows in zip(*vars(made).values(), strict=True):
        (first, first_length), (second, second_length) = sorted([(a, a_length), (b, b_length)])
        assert first + first_length == second
        assert {first, second, second + second_length} <= set(boundaries(corpus)[document])
        assert follows == (a == first)
        used += second_length + first_length
    assert used <= sum(map(sum, lengths))
    assert (used == sum(map(sum, lengths))) == (tally["chunks_without_partner"] == 0)


def test_half_of_the_ordered_pairs_are_swapped_wherever_they_are_cut() -> None:
    made, _ = pairs_of([[2, 3, 4, 5]], passes=20_000, max_tokens=14, short=0.0, sentence_order=True)
    cuts = np.where(made.follows == 1, made.a_length, made.b_length)
    table = [np.sum((cuts == cut) & (made.follows == f)) for cut in (2, 5, 9) for f in (0, 1)]
    assert sum(table) == 20_000
    assert likely(stats.chisquare(table).pvalue)
