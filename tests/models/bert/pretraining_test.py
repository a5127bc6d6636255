import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.backbone import build_backbone
from models.bert.objective import BertObjective
from models.bert.pretraining import BertPretraining
from tests.testdata.little_bert import CONFIG, documents, tokenizer

Batch = dict[str, np.ndarray]


def build() -> BertPretraining:
    keras.utils.set_random_seed(0)
    words = tokenizer()
    return BertObjective(CONFIG.objective, words).build_model(
        build_backbone(CONFIG.backbone, words)
    )


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


def test_sums_are_those_of_the_formulas(model: BertPretraining, batch: Batch) -> None:
    table = np.log(np.random.default_rng(1).dirichlet(np.ones(30))).astype(np.float32)
    model.unigram.log_probabilities.assign(table)
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
    words = np.asarray(model.backbone.encoder.token_embedding.embeddings)
    logits = x @ words.T + np.asarray(head._bias)

    labels, weights = batch["mask_ids"], batch["mask_weights"]
    nll = -np.take_along_axis(log_softmax(logits), labels[:, :, None], axis=2)[:, :, 0]
    follows = batch["next_sentence_label"][:, 0]
    kernel, bias = map(np.asarray, model.next_sentence_head.weights)
    pairs = np.asarray(encoded["pooled"]) @ kernel + bias
    expected = {
        "masked_lm_nll_sum": (nll * weights).sum(-1),
        "masked_lm_correct_count": ((logits.argmax(-1) == labels) * weights).sum(-1),
        "masked_lm_token_count": weights.sum(-1),
        "next_sentence_nll_sum": -log_softmax(pairs)[np.arange(16), follows],
        "next_sentence_correct_count": pairs.argmax(-1) == follows,
        "next_sentence_count": np.ones(16),
        "next_sentence_majority_correct_count": 1 - follows,  # until set_baseline knows better
        "unigram_nll_sum": (-table[labels] * weights).sum(-1),
        "unigram_correct_count": ((labels == table.argmax()) * weights).sum(-1),
    }
    assert sums.keys() == expected.keys()
    for name, value in expected.items():
        assert sums[name].dtype == np.float32
        np.testing.assert_allclose(sums[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_padding_among_the_masks_counts_nothing(model: BertPretraining, batch: Batch) -> None:
    changed = {name: value.copy() for name, value in batch.items()}
    padding = batch["mask_weights"] == 0
    assert padding.any()
    changed["mask_ids"][padding] = 7
    changed["mask_positions"][padding] = 1
    before, after = model(batch), model(changed)
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-6, err_msg=name)


def test_slice_keys_may_come_along(model: BertPretraining, batch: Batch) -> None:
    more = {name: tf.constant(value) for name, value in batch.items()}
    more["source"] = tf.fill([16, 1], "paper")
    assert np.array_equal(model(more)["masked_lm_nll_sum"], model(batch)["masked_lm_nll_sum"])


def test_the_word_embedding_is_tied(model: BertPretraining) -> None:
    shapes = [tuple(weight.shape) for weight in model.trainable_weights]
    assert shapes.count((30, 16)) == 1
    assert "unigram/log_probabilities" in {weight.path for weight in model.non_trainable_weights}


def test_before_training_the_baseline_is_uniform() -> None:
    table = np.asarray(build().unigram.log_probabilities)
    np.testing.assert_allclose(table, -np.log(30), rtol=1e-6)


def test_compiled_by_xla_the_sums_are_the_same(model: BertPretraining, batch: Batch) -> None:
    features = {name: tf.constant(value) for name, value in batch.items()}
    compiled = tf.function(lambda given: model(given, training=False), jit_compile=True)
    for name, value in compiled(features).items():
        np.testing.assert_allclose(value, model(features)[name], rtol=1e-4, err_msg=name)


def test_in_bfloat16_the_sums_stay_float32(batch: Batch) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = build()
    finally:
        keras.config.set_dtype_policy(before)
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    full = build()(batch)
    for name, value in half(batch).items():
        assert value.dtype == tf.float32
        if name.endswith("nll_sum"):
            np.testing.assert_allclose(value, full[name], rtol=0.02, err_msg=name)
