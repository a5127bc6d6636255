import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.softmax import WordSoftmax


def softmax(words: int, candidates: int, *, width: int = 5) -> WordSoftmax:
    keras.utils.set_random_seed(0)
    layer = WordSoftmax(words, width, candidates)
    layer.bias.assign(np.random.default_rng(1).normal(size=words).astype(np.float32))
    return layer


def given(rows: int, words: int, *, width: int = 5) -> tuple[tf.Tensor, tf.Tensor]:
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(rows, width)).astype(np.float32)
    return tf.constant(hidden), tf.constant(rng.integers(0, words, rows, np.int32))


def exact(layer: WordSoftmax, hidden: tf.Tensor, labels: tf.Tensor) -> np.ndarray:
    logits = np.asarray(hidden) @ np.asarray(layer.kernel).T + np.asarray(layer.bias)
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(logits)), np.asarray(labels)]


def test_logits_of_any_shape() -> None:
    layer = softmax(7, 0)
    hidden = tf.reshape(given(6, 7)[0], [2, 3, 5])
    expected = np.asarray(hidden) @ np.asarray(layer.kernel).T + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(hidden), expected, rtol=1e-5)


@pytest.mark.parametrize("candidates", [0, 7, 9])
def test_with_as_many_candidates_as_words_all_are_taken(candidates) -> None:
    layer = softmax(7, candidates)
    hidden, labels = given(6, 7)
    np.testing.assert_allclose(
        layer.sampled_nll(hidden, labels), exact(layer, hidden, labels), rtol=1e-5
    )


def test_a_sample_by_its_formula(monkeypatch) -> None:
    layer = softmax(50, 3)
    hidden, labels = given(4, 50)
    labels = tf.constant([0, 9, 30, 49])
    chances = np.array([0.0, 0.5, 0.999], np.float32)
    monkeypatch.setattr(keras.random, "uniform", lambda *_, **__: tf.constant(chances))
    found = layer.sampled_nll(hidden, labels)
    drawn = np.floor(51.0**chances).astype(int) - 1
    assert drawn.tolist() == [0, 6, 49]
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    share = np.log((np.arange(50) + 2) / (np.arange(50) + 1)) / np.log(51)
    np.testing.assert_allclose(share.sum(), 1.0)
    scores = np.asarray(hidden) @ kernel.T + bias - np.log(3 * share)
    for row, label in enumerate(labels.numpy()):
        others = [scores[row, word] for word in drawn if word != label]
        wanted = scores[row, label]
        expected = np.log(np.exp([wanted, *others]).sum()) - wanted
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_the_mean_gradient_of_samples_approaches_the_whole_softmaxs() -> None:
    layer = softmax(20, 15)
    hidden, labels = given(8, 20)

    def gradient(nll) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            value = tf.reduce_sum(nll())
        return tape.gradient(value, hidden).numpy()

    whole = gradient(lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, layer(hidden)))
    samples = [gradient(lambda: layer.sampled_nll(hidden, labels)) for _ in range(300)]
    error = np.linalg.norm(np.mean(samples, axis=0) - whole) / np.linalg.norm(whole)
    single = np.linalg.norm(samples[0] - whole) / np.linalg.norm(whole)
    assert error < 0.15
    assert error < single


def test_draws_go_on_from_the_seed() -> None:
    hidden, labels = given(4, 50)
    keras.utils.set_random_seed(3)
    first = WordSoftmax(50, 5, 4)
    values = [first.sampled_nll(hidden, labels).numpy() for _ in range(3)]
    assert not np.array_equal(values[0], values[1])
    keras.utils.set_random_seed(3)
    again = WordSoftmax(50, 5, 4)
    again.seed_generator.state.assign(first.seed_generator.state)
    np.testing.assert_array_equal(
        again.sampled_nll(hidden, labels), first.sampled_nll(hidden, labels)
    )
