"""Tests of drawing masked positions and their replacements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.bert.masking import Masked, mask_words
from tests.testdata.likely import likely

MASK = 4
WORDS = np.arange(5, 15)


def mask(
    token_ids: np.ndarray,
    maskable: np.ndarray,
    *,
    mask_prob: float = 0.15,
    max_predictions_per_seq: int = 20,
    seed: int = 0,
) -> Masked:
    return mask_words(
        token_ids,
        maskable,
        maskable.sum(axis=1) + 3,
        mask_prob=mask_prob,
        max_predictions_per_seq=max_predictions_per_seq,
        mask_id=MASK,
        words=WORDS,
        rng=np.random.default_rng(seed),
    )


def rows(lengths: list[int], time: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids 5 to 14 in turn, of which the first `length` of each row may be masked."""
    token_ids = np.tile(5 + np.arange(time) % 10, (len(lengths), 1))
    return token_ids, np.arange(time) < np.array(lengths)[:, None]


@pytest.mark.parametrize(
    ("real", "share", "max_predictions", "masks"),
    [
        (1, 0.15, 20, 1),  # 0.6 of a token is still one
        (7, 0.15, 20, 2),  # 1.5 to the even
        (20, 0.15, 20, 3),  # 3.45
        (125, 0.15, 20, 19),  # 19.2, special tokens counted in the length
        (125, 0.15, 10, 10),
        (2, 0.9, 20, 2),  # never more than there are
        (60, 0.0, 20, 1),
    ],
)
def test_the_number_of_masked_tokens(
    real: int, share: float, max_predictions: int, masks: int
) -> None:
    token_ids, maskable = rows([real], 125)
    masked = mask(token_ids, maskable, mask_prob=share, max_predictions_per_seq=max_predictions)
    assert masked.weights[0].tolist() == [1.0] * masks + [0.0] * (max_predictions - masks)
    assert masked.positions.shape == masked.labels.shape == (1, max_predictions)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(1, 16),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_labels_restore_the_text(
    lengths: list[int], max_predictions: int, share: float, seed: int
) -> None:
    token_ids, maskable = rows(lengths, 12)
    masked = mask(
        token_ids, maskable, mask_prob=share, max_predictions_per_seq=max_predictions, seed=seed
    )
    restored = masked.token_ids.copy()
    for row, (positions, labels, weights) in enumerate(
        zip(masked.positions, masked.labels, masked.weights, strict=True)
    ):
        real = weights > 0
        assert np.all(np.diff(positions[real]) > 0)
        assert maskable[row, positions[real]].all()
        assert not positions[~real].any()
        assert not labels[~real].any()
        restored[row, positions[real]] = labels[real]
    assert restored.tolist() == token_ids.tolist()


@pytest.fixture(scope="module")
def many() -> Masked:
    token_ids, maskable = rows([20] * 20_000, 24)
    return mask(token_ids, maskable)


def test_every_position_is_equally_likely(many: Masked) -> None:
    counts = np.bincount(many.positions[many.weights > 0], minlength=24)
    assert counts[20:].sum() == 0
    assert likely(stats.chisquare(counts[:20]).pvalue)


def test_masks_are_independent_of_each_other(many: Masked) -> None:
    """Of 20 positions 3 are taken; every one of the 1,140 sets is as likely."""
    taken = many.positions[:, :3]
    sets = np.ravel_multi_index(taken.T, (20, 20, 20))
    counts = np.unique(sets, return_counts=True)[1]
    assert len(counts) == 1_140
    assert likely(stats.chisquare(counts).pvalue)


def test_80_percent_are_masked_10_percent_kept_and_10_percent_random(many: Masked) -> None:
    real = many.weights > 0
    shown = np.take_along_axis(many.token_ids, many.positions, axis=1)[real]
    labels = many.labels[real]
    n = len(labels)
    observed = [
        np.sum(shown == MASK),
        np.sum(shown == labels),
        np.sum((shown != MASK) & (shown != labels)),
    ]
    # A random word is the word itself once in ten.
    assert likely(stats.chisquare(observed, [0.8 * n, 0.11 * n, 0.09 * n]).pvalue)


def test_random_words_are_uniform_and_never_special(many: Masked) -> None:
    real = many.weights > 0
    shown = np.take_along_axis(many.token_ids, many.positions, axis=1)[real]
    other = shown[(shown != MASK) & (shown != many.labels[real])]
    assert other.min() >= 5
    assert likely(stats.chisquare(np.bincount(other)[5:]).pvalue)


# Whole words, checked against the published loop written out for one example.


def words_one_by_one(
    maskable: list[bool], begins: list[bool], number: int, longest: int, rng: np.random.Generator
) -> list[int]:
    """ALBERT's loop, which with n-grams of one word is google-research/bert's."""
    groups: list[list[list[int]]] = []  # segments of words of positions
    for position, (real, begin) in enumerate(zip(maskable, begins, strict=True)):
        if not real:
            continue
        if position == 0 or not maskable[position - 1]:
            groups.append([[position]])
        elif begin:
            groups[-1].append([position])
        else:
            groups[-1][-1].append(position)
    starts = [(segment, i) for segment in groups for i in range(len(segment))]
    chances = np.array([1 / n for n in range(1, longest + 1)])
    taken: list[int] = []
    for place in rng.permutation(len(starts)):
        segment, i = starts[place]
        n = min(rng.choice(longest, p=chances / chances.sum()) + 1, len(segment) - i)
        while n and len(taken) + sum(map(len, segment[i : i + n])) > number:
            n -= 1
        span = [position for word in segment[i : i + n] for position in word]
        if not set(span) & set(taken):
            taken += span
    return sorted(taken)


MASKABLE = [False, *[True] * 6, False, *[True] * 4, False, False]
BEGINS = [True, True, False, True, True, False, False, True, False, True, True, True, True, True]


@pytest.mark.parametrize(("longest", "share"), [(1, 0.36), (2, 0.36), (3, 0.5), (3, 0.9)])
def test_whole_words_are_drawn_as_in_the_published_loop(longest: int, share: float) -> None:
    n = 8_000
    token_ids = np.tile(5 + np.arange(14) % 10, (n, 1))
    masked = mask_words(
        token_ids, np.tile(MASKABLE, (n, 1)), np.full(n, 13), mask_prob=share,
        max_predictions_per_seq=14, mask_id=MASK, words=WORDS, rng=np.random.default_rng(0),
        begins=np.tile(BEGINS, (n, 1)), max_ngram=longest,
    )  # fmt: skip
    number = min(round(13 * share), sum(MASKABLE))
    rng = np.random.default_rng(1)
    expected: dict[tuple[int, ...], int] = {}
    for _ in range(n):
        key = tuple(words_one_by_one(MASKABLE, BEGINS, number, longest, rng))
        expected[key] = expected.get(key, 0) + 1
    found: dict[tuple[int, ...], int] = {}
    for positions, weights in zip(masked.positions, masked.weights, strict=True):
        key = tuple(positions[weights > 0].tolist())
        found[key] = found.get(key, 0) + 1
    keys = sorted(expected.keys() | found.keys())
    table = np.array([[counts.get(key, 0) for key in keys] for counts in (expected, found)])
    table = table[:, table.sum(axis=0) >= 20]
    assert table.sum() > 1.95 * n
    assert table.shape[1] > 5
    assert likely(stats.chi2_contingency(table).pvalue)


@pytest.mark.parametrize("longest", [2, 3, 5])
def test_rows_of_few_words_and_rows_of_many_words_share_a_batch(longest: int) -> None:
    # Some rows soon have enough tokens; in the others no word fits, so all words are tried.
    time, few, many = 128, 20, 20
    maskable = np.zeros((few + many, time), bool)
    maskable[:few, 1:7] = True
    maskable[few:, 1:126] = True
    begins = np.ones((few + many, time), bool)
    begins[:few] = np.arange(time) == 1  # one word of six tokens, where one token is to be masked
    lengths = np.array([8] * few + [127] * many)
    for seed in range(5):
        masked = mask_words(
            np.full((few + many, time), 7), maskable, lengths, mask_prob=0.15,
            max_predictions_per_seq=20, mask_id=MASK, words=WORDS, rng=np.random.default_rng(seed),
            begins=begins, max_ngram=longest,
        )  # fmt: skip
        assert (masked.weights > 0).sum(axis=1).tolist() == [0] * few + [19] * many


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.floats(0, 1),
    st.integers(1, 16),
    st.lists(
        st.lists(st.sampled_from(["special", "begin", "continue"]), min_size=12, max_size=12),
        min_size=1, max_size=6,
    ),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_whole_words_are_masked_and_never_too_many_tokens(
    longest, share, max_predictions, kinds, seed
) -> None:
    maskable = np.array([[kind != "special" for kind in row] for row in kinds])
    begins = np.array([[kind == "begin" for kind in row] for row in kinds])
    token_ids = np.tile(5 + np.arange(12) % 10, (len(kinds), 1))
    lengths = np.full(len(kinds), 12)
    masked = mask_words(
        token_ids, maskable, lengths, mask_prob=share, max_predictions_per_seq=max_predictions,
        mask_id=MASK, words=WORDS, rng=np.random.default_rng(seed), begins=begins,
        max_ngram=longest,
    )  # fmt: skip
    number = min(max(1, round(12 * share)), max_predictions)
    for row, (positions, weights) in enumerate(zip(masked.positions, masked.weights, strict=True)):
        taken = positions[weights > 0].tolist()
        assert taken == sorted(set(taken))
        assert len(taken) <= min(number, maskable[row].sum())
        for position in range(12):
            continues = maskable[row, position] and not begins[row, position]
            if continues and position and maskable[row, position - 1]:
                assert (position in taken) == (position - 1 in taken)
