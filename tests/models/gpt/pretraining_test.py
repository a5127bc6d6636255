"""Tests of GPT's pretraining model: its sums, gradient and baselines."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.counts import Counts
from models.gpt.backbone import build_backbone
from models.gpt.objective import GptObjective
from models.gpt.pretraining import GptPretraining
from tests.testdata.little_gpt import CONFIG, tokenizer

TIME, SIZE = 24, 300


def build(seed: int = 0) -> GptPretraining:
    keras.utils.set_random_seed(seed)
    words = tokenizer()
    backbone = build_backbone(CONFIG.backbone, words)
    return GptObjective(CONFIG.objective, words).build_model(backbone)


def batch(rows: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, TIME + 1, rows)
    lengths[0] = TIME
    mask = (np.arange(TIME) < lengths[:, None]).astype(np.int32)
    return {
        "token_ids": rng.integers(0, SIZE, (rows, TIME), np.int32),
        "label_ids": rng.integers(0, SIZE, (rows, TIME), np.int32),
        "padding_mask": mask,
        "position_ids": np.arange(TIME, dtype=np.int32) * mask,
        "byte_count": rng.integers(1, 99, (rows, 1), np.int32),
        "word_count": rng.integers(1, 20, (rows, 1), np.int32),
    }


@pytest.fixture(scope="module")
def model() -> GptPretraining:
    return build()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_sums_equal_their_formulas(model) -> None:
    inputs = batch(5)
    rng = np.random.default_rng(3)
    model.unigram.fill(rng.integers(0, 50, SIZE))
    sums = {name: np.asarray(value) for name, value in model(inputs, training=False).items()}
    states = model.backbone({name: inputs[name] for name in model.backbone.input}, training=False)[
        "sequence_output"
    ]
    table = np.asarray(model.backbone.decoder.token_embedding.embeddings)
    logs = log_softmax(np.asarray(states) @ table.T)
    real, labels = inputs["padding_mask"], inputs["label_ids"]
    nll = -np.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]
    unigram = -model.unigram.table("log_probabilities").numpy()[labels]
    expected = {
        "nll_sum": (nll * real).sum(axis=1),
        "nll_bits_sum": (nll * real).sum(axis=1) / np.log(2),
        "correct_count": ((logs.argmax(-1) == labels) * real).sum(axis=1),
        "token_count": real.sum(axis=1),
        "unigram_nll_sum": (unigram * real).sum(axis=1),
        "byte_count": inputs["byte_count"][:, 0],
        "word_count": inputs["word_count"][:, 0],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(sums[name], value, rtol=1e-4, err_msg=name)


def test_the_gradient_equals_that_of_tensorflows_cross_entropy(model) -> None:
    inputs = {name: tf.constant(value) for name, value in batch(5).items()}
    real = tf.cast(inputs["padding_mask"], tf.float32)
    weights = [weight.value for weight in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs, training=False)["nll_sum"] * [1.0, 2.0, 0.5, -1.0, 3.0])
    found = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        states = model.backbone(
            {name: inputs[name] for name in model.backbone.input}, training=False
        )
        logits = model.backbone.logits(states["sequence_output"])
        nll = tf.nn.sparse_softmax_cross_entropy_with_logits(inputs["label_ids"], logits)
        loss = tf.reduce_sum(nll * real * tf.constant([1.0, 2.0, 0.5, -1.0, 3.0])[:, tf.newaxis])
    for a, b in zip(found, tape.gradient(loss, weights), strict=True):
        expected = tf.convert_to_tensor(b)
        np.testing.assert_allclose(tf.convert_to_tensor(a), expected, rtol=1e-4, atol=1e-5)


def test_a_model_with_a_known_distribution_has_its_perplexity(model) -> None:
    """The states are made constant, so that every token has softmax(table @ state)."""
    forced = build(seed=1)
    decoder = forced.backbone.decoder
    rng = np.random.default_rng(4)
    probabilities = rng.dirichlet(np.ones(SIZE))
    decoder.layer_norm.gamma.assign(np.zeros_like(decoder.layer_norm.gamma))
    beta = np.zeros(16, np.float32)
    beta[0] = 1.0
    decoder.layer_norm.beta.assign(beta)
    table = np.array(decoder.token_embedding.embeddings)
    table[:, 0] = np.log(probabilities)
    decoder.token_embedding.embeddings.assign(table)
    inputs = batch(7, seed=2)
    real = inputs["padding_mask"] > 0
    expected = np.exp(-np.log(probabilities[inputs["label_ids"][real]]).mean())
    for sizes in ([7], [1] * 7, [3, 4]):
        for order in (np.arange(7), np.arange(7)[::-1]):
            nll = tokens = 0.0
            for rows in np.split(order, np.cumsum(sizes)[:-1]):
                sums = forced({name: value[rows] for name, value in inputs.items()}, training=False)
                nll += float(tf.reduce_sum(sums["nll_sum"]))
                tokens += float(tf.reduce_sum(sums["token_count"]))
            assert np.exp(nll / tokens) == pytest.approx(expected, rel=1e-5)


def test_the_bigram_baseline_counts_each_token_and_its_label() -> None:
    model = build()
    objective = GptObjective(CONFIG.objective, tokenizer())
    inputs = batch(9)
    pairs = Counts(*np.unique(objective.count(inputs)["pairs"], return_counts=True))
    objective.fill_baselines(model, {"pairs": pairs})
    real = inputs["padding_mask"] > 0
    tokens, labels = inputs["token_ids"][real], inputs["label_ids"][real]
    nll = np.zeros(real.shape)
    nll[real] = np.asarray(model.bigram(tokens, labels))
    found = model(inputs, training=False)["bigram_nll_sum"]
    np.testing.assert_allclose(found, nll.sum(axis=1), rtol=1e-4)
    kept = set(model.bigram.table("keys").numpy().tolist())
    assert len(kept) == 64
    assert kept <= set((tokens.astype(np.int64) * SIZE + labels).tolist())
    after = np.bincount(labels, minlength=SIZE) + 1
    np.testing.assert_allclose(
        model.unigram.table("log_probabilities"), np.log(after / after.sum()), rtol=1e-5
    )


def test_tables_of_baselines_are_not_weights(model) -> None:
    assert [*model.baselines] == [model.unigram, model.bigram]
    assert not any("gram" in weight.path for weight in model.variables)


@pytest.mark.parametrize("forced", [False, True])
def test_the_loss_in_bfloat16_equals_that_in_float32(forced) -> None:
    """Forced, labels have a logit of 32 1/16 and all other tokens 32: equal in bfloat16."""
    means = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.mixed_precision.set_global_policy(policy)
        try:
            made = build()
        finally:
            keras.mixed_precision.set_global_policy("float32")
        inputs = batch(64, seed=7)
        if forced:
            decoder = made.backbone.decoder
            decoder.layer_norm.gamma.assign(np.zeros(16))
            decoder.layer_norm.beta.assign([1.0, 1.0] + [0.0] * 14)
            table = np.zeros((SIZE, 16))
            table[:, 0], table[:100, 1] = 32.0, 1 / 16
            decoder.token_embedding.embeddings.assign(table)
            inputs["label_ids"] %= 100
        sums = made(inputs, training=False)
        assert sums["nll_sum"].dtype == tf.float32
        means.append(float(tf.reduce_sum(sums["nll_sum"]) / tf.reduce_sum(sums["token_count"])))
    assert means[1] == pytest.approx(means[0], abs=0.005)
    if forced:
        expected = np.log(100 * np.exp(1 / 16) + SIZE - 100) - 1 / 16
        assert means[0] == pytest.approx(expected, abs=1e-4)
