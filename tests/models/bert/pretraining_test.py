"""Tests of BERT's pretraining model: its sums, tied weights and baselines."""

import collections
import dataclasses
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.backbone import build_backbone
from models.bert.objective import BertObjective
from models.bert.pretraining import BertPretraining
from tests.testdata.little_bert import CONFIG, documents, tokenizer

Batch = dict[str, np.ndarray]


def build(**backbone: Any) -> BertPretraining:
    keras.utils.set_random_seed(0)
    words = tokenizer()
    shape = dataclasses.replace(CONFIG.backbone, **backbone)
    return BertObjective(CONFIG.objective, words).build_model(build_backbone(shape, words))


@pytest.fixture(scope="module")
def model() -> BertPretraining:
    return build()


@pytest.fixture(scope="module")
def batch() -> Batch:
    objective = BertObjective(CONFIG.objective, tokenizer())
    rng = np.random.default_rng(0)
    (examples,) = objective.make_examples(documents(6), rng, collections.Counter())
    kinds = {"i": np.int32, "f": np.float32}
    return {
        name: value[:16].astype(kinds[value.dtype.kind])
        for name, value in examples.items()
        if value.dtype.kind in kinds
    }


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_sums_equal_their_formulas(model: BertPretraining, batch: Batch) -> None:
    table = np.log(np.random.default_rng(1).dirichlet(np.ones(30))).astype(np.float32)
    model.unigram.assign("log_probabilities", table)
    sums = {name: np.asarray(value) for name, value in model(batch).items()}

    encoded = model.backbone({n: batch[n] for n in ("token_ids", "segment_ids", "padding_mask")})
    vectors = np.take_along_axis(
        np.asarray(encoded["sequence_output"]), batch["mask_positions"][:, :, None], axis=1
    )
    head = model.masked_lm_head
    kernel, bias = map(np.asarray, head._intermediate_dense.weights)
    x = vectors @ kernel + bias
    x *= 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    gamma, beta = map(np.asarray, head._intermediate_layer_norm.weights)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gamma + beta
    words = np.asarray(model.backbone.token_embedding.embeddings)
    logits = x @ words.T + np.asarray(head._bias)

    labels, weights = batch["mask_ids"], batch["mask_weights"]
    nll = -np.take_along_axis(log_softmax(logits), labels[:, :, None], axis=2)[:, :, 0]
    label = batch["next_sentence_label"][:, 0]
    kernel, bias = map(np.asarray, model.next_sentence_head.weights)
    pairs = np.asarray(encoded["pooled"]) @ kernel + bias
    expected = {
        "masked_lm_nll_sum": (nll * weights).sum(-1),
        "masked_lm_correct_count": ((logits.argmax(-1) == labels) * weights).sum(-1),
        "masked_lm_token_count": weights.sum(-1),
        "next_sentence_nll_sum": -log_softmax(pairs)[np.arange(16), label],
        "next_sentence_correct_count": pairs.argmax(-1) == label,
        "next_sentence_count": np.ones(16),
        "next_sentence_majority_correct_count": 1 - label,  # until the baseline is filled
        "unigram_nll_sum": (-table[labels] * weights).sum(-1),
        "unigram_correct_count": ((labels == table.argmax()) * weights).sum(-1),
    }
    assert sums.keys() == expected.keys()
    for name, value in expected.items():
        assert sums[name].dtype == np.float32
        np.testing.assert_allclose(sums[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_padded_mask_positions_do_not_count(model: BertPretraining, batch: Batch) -> None:
    changed = {name: value.copy() for name, value in batch.items()}
    padding = batch["mask_weights"] == 0
    assert padding.any()
    changed["mask_ids"][padding] = 7
    changed["mask_positions"][padding] = 1
    before, after = model(batch), model(changed)
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-6, err_msg=name)


def test_other_features_are_ignored(model: BertPretraining, batch: Batch) -> None:
    more = {name: tf.constant(value) for name, value in batch.items()}
    more["source"] = tf.fill([16, 1], "paper")
    assert np.array_equal(model(more)["masked_lm_nll_sum"], model(batch)["masked_lm_nll_sum"])


def test_the_head_shares_the_token_embedding(model: BertPretraining) -> None:
    shapes = [tuple(weight.shape) for weight in model.trainable_weights]
    assert shapes.count((30, 16)) == 1


def test_tables_of_baselines_are_not_weights(model: BertPretraining) -> None:
    assert [*model.baselines] == [model.unigram, model.majority]
    of_weights = {weight.path for weight in model.variables}
    assert not any("unigram" in path or "majority" in path for path in of_weights)


def test_before_training_the_baseline_is_uniform() -> None:
    table = build().unigram.table("log_probabilities").numpy()
    np.testing.assert_allclose(table, -np.log(30), rtol=1e-6)


def test_xla_computes_the_same_sums(model: BertPretraining, batch: Batch) -> None:
    features = {name: tf.constant(value) for name, value in batch.items()}
    compiled = tf.function(lambda inputs: model(inputs, training=False), jit_compile=True)
    for name, value in compiled(features).items():
        np.testing.assert_allclose(value, model(features)[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_the_masked_lm_head_has_the_encoders_activation_and_epsilon(activation: str) -> None:
    model = build(activation=activation, layer_norm_epsilon=0.5)
    states = np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)
    head = model.masked_lm_head
    kernel, bias = map(np.asarray, head._intermediate_dense.weights)
    x = states @ (4 * kernel) + bias
    head._intermediate_dense.kernel.assign(4 * kernel)
    if activation == "gelu":
        x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    else:
        x = x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.5)
    words = np.asarray(model.backbone.token_embedding.embeddings)
    places = np.tile(np.arange(3, dtype=np.int32), (2, 1))
    np.testing.assert_allclose(head(states, places), x @ words.T, atol=2e-6)


def test_rows_beyond_the_vocabulary_change_nothing(model: BertPretraining, batch: Batch) -> None:
    padded = build(vocabulary_rows=64)
    assert padded.backbone.token_embedding.embeddings.shape == (64, 16)
    weights = []
    for more, weight in zip(padded.get_weights(), model.get_weights(), strict=True):
        if more.shape != weight.shape:  # the embedding and its bias; 9 in rows that must not count
            filled = np.full_like(more, 9.0)
            filled[: len(weight)] = weight
            weight = filled
        weights.append(weight)
    padded.set_weights(weights)
    padded.unigram.assign("log_probabilities", model.unigram.table("log_probabilities"))
    expected = model(batch)
    for name, value in padded(batch).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)
    states = np.zeros((1, 2, 16), np.float32)
    assert padded.masked_lm_head(states, np.array([[0, 1]], np.int32)).shape == (1, 2, 30)


@pytest.fixture(scope="module")
def precisions() -> tuple[BertPretraining, BertPretraining]:
    """In float32 and in mixed bfloat16, with the same weights and steep logits."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = build(hidden_size=64, dropout=0.0)
    finally:
        keras.config.set_dtype_policy(before)
    full = build(hidden_size=64, dropout=0.0)
    for weight in full.trainable_variables:
        if weight.path.endswith("token_embedding/embeddings"):
            weight.assign(weight * 25.0)
        elif "next_sentence_head/kernel" in weight.path:
            weight.assign(weight * 50.0)
    half.set_weights(full.get_weights())
    return full, half


def test_the_loss_in_bfloat16_equals_that_in_float32(
    precisions: tuple[BertPretraining, BertPretraining], batch: Batch
) -> None:
    full, half = precisions
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    expected, found = full(batch), half(batch)
    assert {value.dtype for value in found.values()} == {tf.float32}
    for name, count in (
        ("masked_lm_nll_sum", "masked_lm_token_count"),
        ("next_sentence_nll_sum", "next_sentence_count"),
    ):
        nll, other = (np.sum(sums[name]) / np.sum(sums[count]) for sums in (expected, found))
        assert abs(nll - other) < 0.005, name


def test_logits_in_bfloat16_are_not_rounded(
    precisions: tuple[BertPretraining, BertPretraining],
) -> None:
    _, half = precisions
    states = tf.cast(np.random.default_rng(0).normal(size=(2, 3, 64)), tf.bfloat16)
    places = tf.constant([[0, 1], [2, 0]])
    for logits in (half.masked_lm_head(states, places), half.next_sentence_head(states[:, 0])):
        assert logits.dtype == tf.float32
        assert np.any(logits != tf.cast(tf.cast(logits, tf.bfloat16), tf.float32))
