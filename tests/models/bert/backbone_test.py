"""Tests of BERT's backbone: parameters, formulas, initial weights and layers."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.bert.backbone import BertEncoder, build_backbone
from models.bert.config import SIZES
from tests.testdata.little_bert import CONFIG, tokenizer


@pytest.fixture(scope="module")
def encoder() -> BertEncoder:
    keras.utils.set_random_seed(0)
    return build_backbone(CONFIG.backbone, tokenizer())


def features(lengths: list[int], time: int) -> dict[str, np.ndarray]:
    real = np.arange(time) < np.array(lengths)[:, None]
    ids = np.random.default_rng(0).integers(5, 30, real.shape)
    return {
        "token_ids": np.where(real, ids, 0).astype(np.int32),
        "segment_ids": (real & (np.arange(time) > 3)).astype(np.int32),
        "padding_mask": real.astype(np.int32),
    }


class Sized:
    """A tokenizer of which only the number of entries is used."""

    def __init__(self, size: int) -> None:
        self.vocabulary = range(size)


@pytest.mark.parametrize(("size", "parameters"), [("base", 109_482_240), ("large", 335_141_888)])
def test_the_number_of_parameters_is_the_published_one(size: str, parameters: int) -> None:
    with keras.StatelessScope(initialize_variables=False):  # shapes alone, no memory
        assert build_backbone(SIZES[size], Sized(30_522)).count_params() == parameters


def test_initial_weights_have_the_configured_range() -> None:
    config = dataclasses.replace(CONFIG.backbone, hidden_size=64, initializer_range=0.1)
    keras.utils.set_random_seed(0)
    encoder = build_backbone(config, Sized(500))  # type: ignore[arg-type]
    for weight in encoder.trainable_variables:
        stddev = {"kernel": 0.1, "embeddings": 0.02}.get(weight.name)
        if stddev and np.prod(weight.shape) > 1_000:
            # a normal distribution cut at two standard deviations has 0.88 of its spread
            assert np.std(weight) == pytest.approx(0.88 * stddev, rel=0.1)
            assert np.abs(weight).max() <= 2 * stddev + 1e-6
        elif weight.name in ("bias", "beta"):
            assert not np.any(weight)


@pytest.mark.parametrize("time", [1, 7, 32])
def test_every_layer_is_returned_for_any_length(encoder: BertEncoder, time: int) -> None:
    inputs = features([time, 1], time)
    out = encoder(inputs)
    assert out["hidden_states"].shape == (2, 3, time, 16)
    assert out["pooled"].shape == (2, 16)
    assert np.array_equal(out["padding_mask"], inputs["padding_mask"])
    assert np.array_equal(out["hidden_states"][:, -1], out["sequence_output"])


@pytest.mark.parametrize(
    ("activation", "epsilon"), [("gelu_tanh", 1e-12), ("gelu", 1e-12), ("gelu_tanh", 0.1)]
)
def test_layers_equal_the_published_formula(activation: str, epsilon: float) -> None:
    config = dataclasses.replace(
        CONFIG.backbone, activation=activation, layer_norm_epsilon=epsilon, initializer_range=0.5
    )
    keras.utils.set_random_seed(0)
    encoder = build_backbone(config, tokenizer())
    inputs = features([6, 4], 6)
    states = np.asarray(encoder(inputs)["hidden_states"])
    positions, segments, embeddings_layer_norm = (
        encoder.get_layer(name)
        for name in ("position_embedding", "segment_embedding", "embeddings_layer_norm")
    )

    def normed(x: np.ndarray, norm: keras.layers.LayerNormalization) -> np.ndarray:
        gamma, beta = map(np.asarray, norm.weights)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * (
            gamma
        ) + beta

    words = np.asarray(encoder.token_embedding.embeddings)[inputs["token_ids"]]
    places = np.asarray(positions.position_embeddings)[:6]
    parts = np.asarray(segments.embeddings)[inputs["segment_ids"]]
    x = normed(words + places + parts, embeddings_layer_norm)
    np.testing.assert_allclose(states[:, 0], x, atol=1e-5)

    for depth, layer in enumerate(encoder.transformer_layers, 1):
        attention = layer._self_attention_layer

        def projected(dense: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
            kernel, bias = map(np.asarray, dense.weights)
            return np.einsum("btd,dhk->bhtk", x, kernel) + bias[:, None, :]

        query, key, value = (
            projected(dense, x)
            for dense in (attention._query_dense, attention._key_dense, attention._value_dense)
        )
        scores = np.einsum("bhtk,bhsk->bhts", query, key) / np.sqrt(query.shape[-1])
        scores = np.where(inputs["padding_mask"][:, None, None, :] == 1, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        kernel, bias = map(np.asarray, attention._output_dense.weights)
        heads = np.einsum("bhts,bhsk->bthk", weights, value)
        x = normed(
            x + np.einsum("bthk,hkd->btd", heads, kernel) + bias, layer._self_attention_layer_norm
        )
        up, up_bias = map(np.asarray, layer._feedforward_intermediate_dense.weights)
        down, down_bias = map(np.asarray, layer._feedforward_output_dense.weights)
        inside = x @ up + up_bias
        if activation == "gelu":
            inside *= 0.5 * (1 + np.vectorize(math.erf)(inside / math.sqrt(2)))
        else:
            inside *= 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inside + 0.044715 * inside**3)))
        x = normed(x + inside @ down + down_bias, layer._feedforward_layer_norm)
        real = inputs["padding_mask"] == 1
        np.testing.assert_allclose(states[:, depth][real], x[real], atol=1e-5)

    kernel, bias = map(np.asarray, encoder.pooled_dense.weights)
    np.testing.assert_allclose(
        encoder(inputs)["pooled"], np.tanh(x[:, 0] @ kernel + bias), atol=1e-5
    )


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_no_attention_mask_has_a_row_for_each_position(dropout: float) -> None:
    encoder = build_backbone(dataclasses.replace(CONFIG.backbone, dropout=dropout), tokenizer())
    batch, time = 3, 7

    @tf.function
    def run(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return encoder(inputs, training=True)

    graph = run.get_concrete_function(
        {name: tf.TensorSpec([batch, time], tf.int32) for name in features([7] * 3, 7)}
    ).graph
    shapes = {
        tuple(output.shape)
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.shape.rank is not None
    }
    assert (batch, CONFIG.backbone.num_heads, time, time) in shapes  # what attends to what
    assert not {(batch, time, time), (batch, 1, time, time)} & shapes


def test_the_numbers_of_embedding_rows_and_segments_can_be_set() -> None:
    config = dataclasses.replace(CONFIG.backbone, vocabulary_rows=64, num_segments=1)
    encoder = build_backbone(config, Sized(30))  # type: ignore[arg-type]
    assert encoder.token_embedding.embeddings.shape == (64, 16)
    assert encoder.get_layer("segment_embedding").embeddings.shape == (1, 16)
    assert encoder.vocabulary_size == 30
