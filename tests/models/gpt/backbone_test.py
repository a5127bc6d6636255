"""Tests of GPT's backbone: parameters, formulas and attention masks."""

import dataclasses
import math

import keras
import keras_hub
import numpy as np
import pytest

from models.gpt.backbone import GptDecoder, build_backbone
from models.gpt.config import SIZES, GptBackboneConfig
from tests.testdata.little_gpt import CONFIG, tokenizer


def features(ids: list[list[int]], positions: list[list[int]] | None = None) -> dict:
    token_ids = np.array(ids, np.int32)
    if positions is None:
        positions = [list(range(token_ids.shape[1]))] * len(ids)
    return {
        "token_ids": token_ids,
        "padding_mask": np.ones_like(token_ids),
        "position_ids": np.array(positions, np.int32),
    }


@pytest.fixture(scope="module")
def decoder() -> GptDecoder:
    """A model with large weights, so that different inputs have different outputs."""
    keras.utils.set_random_seed(0)
    made = build_backbone(CONFIG.backbone, tokenizer())
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


def states(decoder: GptDecoder, inputs: dict) -> np.ndarray:
    return np.asarray(decoder(inputs, training=False)["hidden_states"])


def by_kerashub(decoder: GptDecoder, inputs: dict) -> np.ndarray:
    """The last layer of KerasHub's own GPT-2 with the same weights."""
    shape = CONFIG.backbone
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=len(tokenizer().vocabulary),
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        hidden_dim=shape.hidden_size,
        intermediate_dim=4 * shape.hidden_size,
        max_sequence_length=shape.max_length,
    )
    backbone.set_weights(decoder.get_weights())
    return np.asarray(
        backbone({name: inputs[name] for name in ("token_ids", "padding_mask")}, training=False)
    )


class Entries:
    """A tokenizer of which only the number of entries is used."""

    def __init__(self, count: int) -> None:
        self.vocabulary = range(count)


LARGE = (pytest.mark.e2e, pytest.mark.one_stack)


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("small", 124_439_808),
        ("medium", 354_823_168),
        pytest.param("large", 774_030_080, marks=LARGE),
        pytest.param("xl", 1_557_611_200, marks=LARGE),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(
    size, parameters, monkeypatch
) -> None:
    config = SIZES[size]
    monkeypatch.setattr("models.gpt.backbone._initialize", lambda *_: None)  # it would draw them
    with keras.StatelessScope():  # weights are drawn when they are used, and not kept
        made = build_backbone(config, Entries(50_257))
    assert sum(math.prod(weight.shape) for weight in made.trainable_variables) == parameters


def test_a_token_does_not_attend_to_later_tokens(decoder) -> None:
    first = states(decoder, features([[5, 6, 7, 8, 9]]))
    other = states(decoder, features([[5, 6, 7, 10, 11]]))
    np.testing.assert_allclose(first[:, :, :3], other[:, :, :3], atol=1e-5)
    assert np.abs(first[:, -1, 3:] - other[:, -1, 3:]).max() > 0.1


def test_a_separate_document_does_not_depend_on_the_documents_before_it(decoder) -> None:
    alone = states(decoder, features([[5, 6, 7]]))
    separating = GptDecoder(decoder.decoder, separate_documents=True)
    after = states(separating, features([[9, 8, 5, 6, 7, 4]], [[0, 1, 0, 1, 2, 0]]))
    np.testing.assert_allclose(after[:, :, 2:5], alone, atol=1e-5)
    joined = states(decoder, features([[9, 8, 5, 6, 7, 4]]))
    assert np.abs(joined[:, -1, 2:5] - alone[:, -1]).max() > 0.1


def test_separating_documents_does_not_change_a_row_of_one_document(decoder) -> None:
    """A row that is one document needs no separate mask, whether it is padded or not."""
    inputs = features([[5, 6, 7, 8, 9], [10, 11, 12, 4, 4]], [[0, 1, 2, 3, 4], [0, 1, 2, 0, 0]])
    inputs["padding_mask"][1, 3:] = 0
    separating = GptDecoder(decoder.decoder, separate_documents=True)
    plain, masked = states(decoder, inputs), states(separating, inputs)
    np.testing.assert_allclose(plain[0], masked[0], atol=1e-6)
    np.testing.assert_allclose(plain[1, :, :3], masked[1, :, :3], atol=1e-6)
    expected = by_kerashub(decoder, inputs)
    np.testing.assert_allclose(plain[0, -1], expected[0], atol=1e-6)
    np.testing.assert_allclose(plain[1, -1, :3], expected[1, :3], atol=1e-6)


def test_only_separate_documents_need_a_mask_for_each_row(decoder) -> None:
    inputs = np.arange(6, dtype=np.int32)[None].repeat(3, axis=0)
    shapes = {
        separate: GptDecoder(decoder.decoder, separate_documents=separate)
        .get_layer("visible")(inputs)
        .shape
        for separate in (False, True)
    }
    assert {separate: tuple(shape) for separate, shape in shapes.items()} == {
        False: (1, 6, 6), True: (3, 6, 6),
    }  # fmt: skip


def test_the_last_layer_equals_by_kerashub_gpt_2(decoder) -> None:
    inputs = features([[5, 6, 7, 8]])
    expected = by_kerashub(decoder, inputs)
    outputs = decoder(inputs, training=False)
    np.testing.assert_allclose(outputs["sequence_output"], expected, atol=1e-6)
    np.testing.assert_array_equal(outputs["hidden_states"][:, -1], outputs["sequence_output"])
    embeddings = np.asarray(decoder.decoder.token_embedding.embeddings)[[5, 6, 7, 8]]
    positions = np.asarray(decoder.decoder.position_embedding.position_embeddings)[:4]
    np.testing.assert_allclose(outputs["hidden_states"][0, 0], embeddings + positions, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "epsilon"), [("gelu_tanh", 1e-5), ("gelu", 1e-5), ("gelu_tanh", 0.1)]
)
def test_layers_equal_the_published_formula(activation: str, epsilon: float) -> None:
    shape = dataclasses.replace(
        CONFIG.backbone, activation=activation, layer_norm_epsilon=epsilon, initializer_range=0.5
    )
    keras.utils.set_random_seed(0)
    decoder = build_backbone(shape, tokenizer())
    found = states(decoder, features([[5, 6, 7, 8]]))[0]

    def normed(x: np.ndarray, norm: keras.layers.LayerNormalization) -> np.ndarray:
        gamma, beta = map(np.asarray, norm.weights)
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt(x.var(-1, keepdims=True) + epsilon) * gamma + beta

    x = found[0]
    for depth, layer in enumerate(decoder.decoder.transformer_layers, 1):
        named = {"/".join(w.path.split("/")[-2:]): np.asarray(w) for w in layer.weights}
        inside = normed(x, layer._self_attention_layer_norm)
        query, key, value = (
            np.einsum("td,dhk->htk", inside, named[f"{name}/kernel"])
            + named[f"{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        scores = np.einsum("htk,hsk->hts", query, key) / np.sqrt(query.shape[-1])
        weights = np.exp(np.where(np.tri(4, dtype=bool), scores, -np.inf))
        heads = np.einsum("hts,hsk->thk", weights / weights.sum(-1, keepdims=True), value)
        x = x + np.einsum("thk,hkd->td", heads, named["attention_output/kernel"])
        x = x + named["attention_output/bias"]
        up = normed(x, layer._feedforward_layer_norm)
        up = up @ named["feedforward_intermediate_dense/kernel"]
        up = up + named["feedforward_intermediate_dense/bias"]
        if activation == "gelu":
            up = up / 2 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        else:
            up = up / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        x = x + up @ named["feedforward_output_dense/kernel"]
        x = x + named["feedforward_output_dense/bias"]
        last = depth == shape.num_layers
        expected = normed(x, decoder.decoder.layer_norm) if last else x
        np.testing.assert_allclose(found[depth], expected, atol=1e-4)


def test_rows_beyond_the_vocabulary_have_no_logits() -> None:
    entries = len(tokenizer().vocabulary)
    padded = build_backbone(dataclasses.replace(CONFIG.backbone, vocabulary_rows=320), tokenizer())
    assert padded.decoder.token_embedding.embeddings.shape[0] == 320
    states = (
        np.random.default_rng(0).normal(size=(2, 3, CONFIG.backbone.hidden_size)).astype("float32")
    )
    logits = np.asarray(padded.logits(states))
    table = np.asarray(padded.decoder.token_embedding.embeddings)[:entries]
    np.testing.assert_allclose(logits, states @ table.T, atol=1e-5)


def test_logits_are_products_with_the_embeddings(decoder) -> None:
    expected = np.asarray(decoder(features([[5, 6, 7]]), training=False)["sequence_output"])
    table = np.asarray(decoder.decoder.token_embedding.embeddings)
    np.testing.assert_allclose(decoder.logits(expected), expected @ table.T, rtol=1e-4, atol=1e-4)


def test_initial_weights_have_the_standard_deviations_of_gpt_2() -> None:
    keras.utils.set_random_seed(0)
    config = GptBackboneConfig(
        num_layers=8, hidden_size=128, num_heads=4, max_length=64, initializer_range=0.05
    )
    made = build_backbone(config, Entries(500))
    spreads: dict[str, list[float]] = {"stream": [], "embeddings": [], "kernel": []}
    for weight in made.trainable_variables:
        writes = "attention_output" in weight.path or "feedforward_output" in weight.path
        kind = "stream" if writes and weight.name == "kernel" else weight.name
        if kind in spreads:
            spreads[kind].append(float(np.std(weight)))
    assert {kind: len(found) for kind, found in spreads.items()} == {
        "stream": 16, "embeddings": 2, "kernel": 32,
    }  # fmt: skip
    np.testing.assert_allclose(spreads["embeddings"], 0.05, rtol=0.05)
    np.testing.assert_allclose(spreads["kernel"], 0.05, rtol=0.05)
    np.testing.assert_allclose(spreads["stream"], 0.05 / 4, rtol=0.05)
