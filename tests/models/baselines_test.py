"""Tests of the unigram and bigram baselines."""

import collections
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines import BigramBaseline, UnigramBaseline, following
from models.counts import Counts

TOKENS = np.array([0, 1, 0, 2, 0, 1, 1, 0, 1])  # pairs: 01 3x, 10 2x, 02, 20, 11 once each


def filled(pairs: int, tokens: np.ndarray = TOKENS, size: int = 4) -> BigramBaseline:
    layer = BigramBaseline(size, pairs)
    layer.fill(pair_counts(tokens, size))
    return layer


def pair_counts(tokens: np.ndarray, size: int) -> Counts:
    return Counts(*np.unique(tokens[:-1] * size + tokens[1:], return_counts=True))


def probabilities(layer: BigramBaseline, size: int = 4) -> np.ndarray:
    """P(w | v) `[v, w]`."""
    previous, labels = np.mgrid[:size, :size].astype(np.int32)
    return np.exp(-np.asarray(layer(previous, labels)))


def test_the_second_tokens_of_pairs_are_counted() -> None:
    assert following(pair_counts(TOKENS, 4), 4).tolist() == [3, 4, 1, 0]


def test_tables_are_not_weights() -> None:
    layer = filled(8)
    assert layer.variables == []
    assert not tf.train.TrackableView(layer).descendants()[1:]
    names = {table.name.partition(":")[0] for table in layer.tables}
    assert names == {"keys", "discounted", "left_over", "log_probabilities"}


def test_unigram_frequencies_have_add_one_smoothing() -> None:
    layer = UnigramBaseline(4)
    nll, correct = layer(np.array([[0, 3]]))
    np.testing.assert_allclose(nll, [[math.log(4), math.log(4)]], rtol=1e-6)
    layer.fill(np.array([2, 5, 0, 1]))
    nll, correct = layer(np.array([[0, 1], [2, 3]]))
    np.testing.assert_allclose(nll, -np.log([[3 / 12, 6 / 12], [1 / 12, 2 / 12]]), rtol=1e-6)
    assert correct.numpy().tolist() == [[0, 1], [0, 0]]


def test_bigram_probabilities_equal_the_formula() -> None:
    unigram = (np.array([3, 4, 1, 0]) + 1) / 12  # what follows something
    seen = np.zeros((4, 4))
    for (v, w), count in collections.Counter(itertools.pairwise(TOKENS.tolist())).items():
        seen[v, w] = count - 0.75
    before = np.array([4, 3, 1, 1])[:, None]
    left = 1 - (seen / before).sum(axis=1, keepdims=True)
    expected = seen / before + left * unigram
    np.testing.assert_allclose(probabilities(filled(8)), expected, rtol=1e-5)


def test_if_there_are_too_many_pairs_the_most_frequent_are_kept() -> None:
    layer = filled(2)
    assert layer.table("keys").numpy().tolist() == [1, 4]
    kept = probabilities(layer)
    assert kept[0, 1] > 0.5
    assert kept[1, 1] == pytest.approx((1 - 1.25 / 3) * 5 / 12, rel=1e-5)


def test_of_equally_frequent_pairs_the_first_are_kept() -> None:
    assert filled(4).table("keys").numpy().tolist() == [1, 2, 4, 5]


def test_an_empty_bigram_baseline_is_uniform_and_training_gets_zeros() -> None:
    layer = BigramBaseline(4, 3)
    np.testing.assert_allclose(probabilities(layer), np.full((4, 4), 0.25), rtol=1e-6)
    assert not np.asarray(layer(np.ones((2, 3)), np.ones((2, 3)), training=True)).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(1, 20))
def test_probabilities_sum_to_1_whatever_pairs_are_kept(tokens: list[int], pairs: int) -> None:
    layer = filled(pairs, np.array(tokens), size=7)
    np.testing.assert_allclose(probabilities(layer, size=7).sum(axis=1), np.ones(7), rtol=1e-5)
