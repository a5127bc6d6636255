import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.bert.masking import Masked, mask_words

MASK = 4
WORDS = np.arange(5, 15)


def mask(
    token_ids: np.ndarray,
    maskable: np.ndarray,
    *,
    share: float = 0.15,
    max_predictions: int = 20,
    seed: int = 0,
) -> Masked:
    return mask_words(
        token_ids,
        maskable,
        maskable.sum(axis=1) + 3,
        share=share,
        max_predictions=max_predictions,
        mask_id=MASK,
        words=WORDS,
        rng=np.random.default_rng(seed),
    )


def rows(lengths: list[int], time: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids 5 to 14 in turn, of which the first `length` of each row may be masked."""
    token_ids = np.tile(5 + np.arange(time) % 10, (len(lengths), 1))
    return token_ids, np.arange(time) < np.array(lengths)[:, None]


@pytest.mark.parametrize(
    ("real", "share", "most", "masks"),
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
def test_how_many_are_masked(real: int, share: float, most: int, masks: int) -> None:
    token_ids, maskable = rows([real], 125)
    masked = mask(token_ids, maskable, share=share, max_predictions=most)
    assert masked.weights[0].tolist() == [1.0] * masks + [0.0] * (most - masks)
    assert masked.positions.shape == masked.labels.shape == (1, most)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(1, 16),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_labels_give_the_text_back(lengths: list[int], most: int, share: float, seed: int) -> None:
    token_ids, maskable = rows(lengths, 12)
    masked = mask(token_ids, maskable, share=share, max_predictions=most, seed=seed)
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


def test_every_position_is_as_likely(many: Masked) -> None:
    counts = np.bincount(many.positions[many.weights > 0], minlength=24)
    assert counts[20:].sum() == 0
    assert stats.chisquare(counts[:20]).pvalue > 1e-3


def test_masks_are_independent_of_each_other(many: Masked) -> None:
    """Of 20 positions 3 are taken; every one of the 1,140 sets is as likely."""
    taken = many.positions[:, :3]
    sets = np.ravel_multi_index(taken.T, (20, 20, 20))
    counts = np.unique(sets, return_counts=True)[1]
    assert len(counts) == 1_140
    assert stats.chisquare(counts).pvalue > 1e-3


def test_eighty_ten_ten(many: Masked) -> None:
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
    assert stats.chisquare(observed, [0.8 * n, 0.11 * n, 0.09 * n]).pvalue > 1e-3


def test_random_words_are_uniform_and_never_special(many: Masked) -> None:
    real = many.weights > 0
    shown = np.take_along_axis(many.token_ids, many.positions, axis=1)[real]
    other = shown[(shown != MASK) & (shown != many.labels[real])]
    assert other.min() >= 5
    assert stats.chisquare(np.bincount(other)[5:]).pvalue > 1e-3
