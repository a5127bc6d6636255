"""Tests of the full and the sampled softmax."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.softmax import WordSoftmax


def softmax(words: int, num_sampled: int, *, width: int = 5) -> WordSoftmax:
    keras.utils.set_random_seed(0)
    layer = WordSoftmax(words, width, num_sampled)
    layer.bias.assign(np.random.default_rng(1).normal(size=words).astype(np.float32))
    return layer


def random_batch(rows: int, words: int, *, width: int = 5) -> tuple[tf.Tensor, tf.Tensor]:
    """Hidden vectors `[rows, width]` and labels `[rows]`."""
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
    hidden = tf.reshape(random_batch(6, 7)[0], [2, 3, 5])
    expected = np.asarray(hidden) @ np.asarray(layer.kernel).T + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(hidden), expected, rtol=1e-5)


def test_neither_logits_nor_losses_are_rounded_to_bfloat16() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = softmax(7, 0)
    finally:
        keras.config.set_dtype_policy("float32")
    hidden, labels = random_batch(64, 7)
    hidden = tf.cast(20.0 * hidden, tf.bfloat16)
    in_float32 = tf.cast(hidden, tf.float32)
    logits = in_float32.numpy() @ np.asarray(layer.kernel).T + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(hidden), logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        layer.sampled_nll(hidden, labels), exact(layer, in_float32, labels), rtol=1e-4, atol=1e-5
    )
    sampled = softmax(50, 6)
    caller = keras.layers.Lambda(  # casts the weights that it reads, as a model does
        lambda inputs: sampled.sampled_nll(inputs, labels), dtype="mixed_bfloat16"
    )
    assert caller(hidden).dtype == tf.float32


@pytest.mark.parametrize("num_sampled", [0, 7, 9])
def test_a_sample_of_all_words_is_the_full_softmax(num_sampled) -> None:
    layer = softmax(7, num_sampled)
    hidden, labels = random_batch(6, 7)
    np.testing.assert_allclose(
        layer.sampled_nll(hidden, labels), exact(layer, hidden, labels), rtol=1e-5
    )


def test_the_loss_of_a_known_sample_equals_its_formula(monkeypatch) -> None:
    """Logits minus the log of each word's chance to be drawn; a label in the sample counts once."""
    layer = softmax(50, 3)
    hidden, _ = random_batch(4, 50)
    labels = tf.constant([0, 9, 30, 49])
    drawn, end = [6, 0, 49], 7.5
    monkeypatch.setattr(layer, "draw", lambda: (tf.constant(drawn), tf.constant(end)))
    found = layer.sampled_nll(hidden, labels)
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    rates = np.log((np.arange(50) + 2) / (np.arange(50) + 1)) / np.log(51)
    np.testing.assert_allclose(rates.sum(), 1.0)
    scores = np.asarray(hidden) @ kernel.T + bias - np.log(1 - np.exp(-end * rates))
    for row, label in enumerate(labels.numpy()):
        others = [scores[row, word] for word in drawn if word != label]
        own = scores[row, label]
        expected = np.log(np.exp([own, *others]).sum()) - own
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_samples_are_distinct_words_with_the_frequencies_of_their_chances() -> None:
    layer = softmax(60, 20)
    words, repeats = tf.range(60), 2_000

    @tf.function
    def draw() -> tuple[tf.Tensor, tf.Tensor]:
        drawn, end = layer.draw()
        return drawn, layer.chances(words, end)

    @tf.function
    def draw_by_tensorflow() -> tf.Tensor:
        return tf.random.log_uniform_candidate_sampler([[0]], 1, 20, True, 60, seed=1)[0]

    frequencies, weighted, expected = np.zeros((3, 60))
    for _ in range(repeats):
        drawn, chances = (value.numpy() for value in draw())
        assert len({*drawn.tolist()}) == 20
        frequencies[drawn] += 1 / repeats
        weighted[drawn] += 1 / chances[drawn] / repeats
        expected[draw_by_tensorflow().numpy()] += 1 / repeats
    np.testing.assert_allclose(frequencies, expected, atol=5 * (0.5 / repeats) ** 0.5)
    # A word's frequency divided by its chance is expected to be 1.
    np.testing.assert_allclose(weighted, 1.0, atol=0.25)
    np.testing.assert_allclose(weighted.mean(), 1.0, atol=0.01)


def test_every_word_of_a_large_vocabulary_can_be_drawn() -> None:
    """The vocabulary of the billion-word corpus, with its last words."""
    layer = softmax(793_471, 700_000, width=1)
    draw = tf.function(layer.draw)
    never_drawn = np.ones(793_471, bool)
    for _ in range(12):
        never_drawn[draw()[0].numpy()] = False
    assert not never_drawn.any()


def test_training_stays_at_the_true_distribution() -> None:
    """One context and the demo's sizes. Word 0 has probability 1/2; others decrease with rank."""
    words, rows = 8_000, 1_152
    layer = softmax(words, 1_024, width=4)
    truth = 1 / np.arange(1.0, words + 1)
    truth[1:] *= 0.5 / truth[1:].sum()
    truth[0] = 0.5
    layer.kernel.assign(np.zeros((words, 4)))
    layer.bias.assign(np.log(truth))
    optimizer = keras.optimizers.SGD(0.2)
    optimizer.build(layer.trainable_variables)
    context = tf.fill([rows, 4], 0.5)

    @tf.function
    def step(labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer.sampled_nll(context, labels))
        weights = layer.trainable_variables
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        optimizer.apply([tf.convert_to_tensor(each) for each in gradients], weights)

    def learned() -> np.ndarray:
        return tf.nn.softmax(layer(context[:1])[0]).numpy()

    np.testing.assert_allclose(learned()[0], 0.5, atol=1e-5)
    rng = np.random.default_rng(1)
    for _ in range(500):
        labels = np.searchsorted(np.cumsum(truth), rng.random(rows)).astype(np.int32)
        step(tf.constant(np.minimum(labels, words - 1)))
    assert abs(learned()[0] - 0.5) < 0.02
    entropy = -(truth * np.log(truth)).sum()
    assert -(truth * np.log(learned())).sum() < entropy + 0.02


def test_the_mean_gradient_of_samples_approaches_that_of_the_full_softmax() -> None:
    layer = softmax(20, 15)
    hidden, labels = random_batch(8, 20)

    def gradient(nll) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            value = tf.reduce_sum(nll())
        return tape.gradient(value, hidden).numpy()

    full = gradient(lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, layer(hidden)))
    samples = [gradient(lambda: layer.sampled_nll(hidden, labels)) for _ in range(300)]
    error = np.linalg.norm(np.mean(samples, axis=0) - full) / np.linalg.norm(full)
    single = np.linalg.norm(samples[0] - full) / np.linalg.norm(full)
    assert error < 0.15
    assert error < single


def test_draws_continue_from_the_state_of_the_seed_generator() -> None:
    hidden, labels = random_batch(4, 50)
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
