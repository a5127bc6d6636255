"""The vectors of a word, cosines between its senses, and their principal components."""

import itertools
import math
import re

import numpy as np
import pytest

from components.reporting import word_senses
from components.reporting.word_senses import WordVectors
from models.errors import ConfigError


def _states(hidden, tokens, starts, limits, mask):
    hidden = np.array(hidden, dtype=np.float32)
    return lambda texts, layers: {
        "hidden_states": np.stack(
            [row[chosen] for row, chosen in zip(hidden, layers, strict=True)]
        ),
        "tokens": np.array(tokens, dtype=object),
        "starts": np.array(starts),
        "limits": np.array(limits),
        "padding_mask": np.array(mask),
    }


def test_vectors_are_the_mean_over_the_words_tokens():
    # In "à bank" the first letter has two bytes, so the word is bytes 3 to 7, with tokens ban ##k.
    hidden = [[[[9], [8], [1], [3], [9]], [[9], [8], [10], [20], [9]]]] * 2
    words = word_senses.word_vectors(
        _states(
            hidden,
            [[b"[CLS]", b"a", b"ban", b"##k", b"[SEP]"], [b"[CLS]", b"bank", b"s", b"[SEP]", b""]],
            [[0, 0, 3, 6, 0], [0, 5, 0, 0, 0]],
            [[0, 2, 6, 7, 0], [0, 9, 4, 0, 0]],
            [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]],
        ),
        1,
        [("river", "à bank"), ("money", "sand Bank")],
    )
    np.testing.assert_array_equal(words.vectors, [[[2], [15]], [[8], [8]]])
    assert words.pieces == [("ban", "##k"), ("bank",)]
    assert words.senses == ["river", "money"]
    assert words.sentences == ["à bank", "sand Bank"]


def test_a_word_inside_another_is_not_the_word():
    with pytest.raises(ConfigError) as raised:
        word_senses.word_vectors(
            lambda texts: {}, 1, [("river", "the embankment"), ("money", "bank")]
        )
    assert raised.value.where == "the embankment"


def test_a_word_that_the_model_did_not_read_is_refused():
    states = _states(np.zeros((1, 1, 2, 1)), [[b"[CLS]", b"the"]], [[0, 0]], [[0, 3]], [[1, 1]])
    with pytest.raises(ConfigError, match="no token of the word 'bank'") as raised:
        word_senses.word_vectors(states, 0, [("river", "the bank")])
    assert raised.value.where == "the bank"


def test_a_token_that_is_padding_does_not_count():
    states = _states(np.zeros((1, 1, 2, 1)), [[b"[CLS]", b"bank"]], [[0, 0]], [[0, 4]], [[1, 0]])
    with pytest.raises(ConfigError, match="no token"):
        word_senses.word_vectors(states, 0, [("river", "bank")])


def test_sentences_are_six_pairs_with_the_word_at_the_same_place():
    senses = [sense for sense, _ in word_senses.SENTENCES]
    assert senses == ["river", "money"] * 6
    places = []
    for _, sentence in word_senses.SENTENCES:
        words = re.findall(r"\w+", sentence.lower())
        assert words.count("bank") == 1
        places.append(words.index("bank"))
    assert places[0::2] == places[1::2]
    assert len({sentence for _, sentence in word_senses.SENTENCES}) == 12


def _words(vectors, senses):
    count = len(senses)
    return WordVectors("bank", senses, [""] * count, [("bank",)] * count, np.array(vectors, float))


def test_cosines_of_vectors_known_by_hand():
    # The senses are at a right angle; the lengths of the vectors do not matter.
    vectors = [[[2, 0]], [[0, 3]], [[5, 0]], [[0, 1]]]
    (row,) = word_senses.similarities(_words(vectors, ["river", "money", "river", "money"]))
    assert row.layer == 0
    assert row.within == pytest.approx({"river": 1.0, "money": 1.0})
    assert row.between == pytest.approx(0.0)
    assert row.gap == pytest.approx(1.0)
    # Of 4 permutations, the senses themselves and both pairs swapped have this gap.
    assert row.p_value == pytest.approx(2 / 4)


def test_a_model_that_only_recognizes_the_pair_has_no_gap():
    # Both sentences of a pair have the same vector, as if only their structure mattered.
    vectors = np.repeat(np.random.default_rng(3).normal(size=(6, 1, 4)), 2, axis=0)
    (row,) = word_senses.similarities(_words(vectors, ["river", "money"] * 6))
    assert row.gap == pytest.approx(0.0, abs=1e-12)
    assert row.p_value == 1.0


def test_cosines_by_the_definition():
    rng = np.random.default_rng(7)
    senses = ["river", "money", "money", "river", "river", "money"]
    vectors = rng.normal(size=(6, 3, 4))
    rows = word_senses.similarities(_words(vectors, senses))
    assert [row.layer for row in rows] == [0, 1, 2]

    def cosine(layer, i, j):
        a, b = vectors[i, layer], vectors[j, layer]
        return sum(a * b) / math.sqrt(sum(a * a)) / math.sqrt(sum(b * b))

    def gap(layer, labels):
        same, other = [], []
        for i, j in itertools.combinations(range(6), 2):
            if (i, j) not in [(0, 1), (2, 3), (4, 5)]:
                (same if labels[i] == labels[j] else other).append(cosine(layer, i, j))
        return sum(same) / len(same) - sum(other) / len(other)

    for row in rows:
        river = [cosine(row.layer, i, j) for i, j in ((0, 3), (0, 4), (3, 4))]
        between = [
            cosine(row.layer, i, j) for i, j in ((0, 2), (0, 5), (3, 1), (3, 5), (4, 1), (4, 2))
        ]
        assert row.within["river"] == pytest.approx(sum(river) / 3)
        assert row.between == pytest.approx(sum(between) / 6)
        assert row.gap == pytest.approx(gap(row.layer, senses))
        others = [
            gap(row.layer, [sense for pair in pairs for sense in pair])
            for pairs in itertools.product(
                *([("river", "money"), ("money", "river")] for _ in range(3))
            )
        ]
        assert row.p_value == pytest.approx(sum(other >= row.gap - 1e-9 for other in others) / 8)


def test_plane_keeps_distances_of_flat_vectors():
    angles = np.array([0.1, 0.5, 2.0, 4.0])
    flat = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0][:2]
    points = word_senses.principal_components(3 * flat @ rotation)
    assert points.shape == (4, 2)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(distances, np.linalg.norm(flat[:, None] - flat[None], axis=-1))


def test_plane_does_not_depend_on_the_sign_the_solver_chose():
    vectors = np.random.default_rng(2).normal(size=(5, 8))
    points = word_senses.principal_components(vectors)
    np.testing.assert_allclose(
        word_senses.principal_components(vectors[:, ::-1]), points, atol=1e-9
    )
    assert (points.max(axis=0) >= -points.min(axis=0)).all()


def test_plane_of_vectors_of_size_one():
    np.testing.assert_allclose(word_senses.principal_components(np.array([[2.0], [-3.0]]))[:, 1], 0)
