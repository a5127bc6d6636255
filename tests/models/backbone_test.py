"""Every family's backbone keeps the protocol: shapes, layers, padding and context."""

import numpy as np
import pytest

from models.backbone import Backbone
from models.registry import FAMILIES
from tests.testdata.little_families import Batch, LittleModel, inputs, little_model, with_junk


@pytest.fixture(scope="module", params=FAMILIES)
def little(request: pytest.FixtureRequest) -> LittleModel:
    return little_model(request.param)


def layers(little: LittleModel, features: Batch) -> np.ndarray:
    return np.asarray(little.model.backbone(features, training=False)["hidden_states"])


def test_a_backbone_returns_every_layer_and_the_mask(little: LittleModel) -> None:
    features = inputs(little)
    out = little.model.backbone(features, training=False)
    batch, time = features["padding_mask"].shape
    assert out["hidden_states"].shape[:3] == (batch, little.config.backbone.num_layers + 1, time)
    assert out["hidden_states"].shape.rank == 4
    assert np.isfinite(out["hidden_states"]).all()
    assert np.array_equal(out["sequence_output"], out["hidden_states"][:, -1])
    assert np.array_equal(out["padding_mask"], features["padding_mask"])


def test_a_backbone_declares_its_inputs_and_sizes(little: LittleModel) -> None:
    backbone: Backbone = little.model.backbone
    features = inputs(little)
    out = backbone(features, training=False)
    assert "padding_mask" in backbone.input
    assert out["hidden_states"].shape[-1] == backbone.hidden_size
    assert out["pooled"].shape == (len(features["padding_mask"]), backbone.hidden_size)
    assert backbone.max_length is None or backbone.max_length >= features["padding_mask"].shape[1]
    assert all(layer.trainable_variables for layer in backbone.rematerialized_layers)


def test_padding_does_not_change_pooled_vectors(little: LittleModel) -> None:
    features = inputs(little)
    padded = little.model.backbone(features, training=False)["pooled"]
    for row, length in enumerate(features["padding_mask"].sum(axis=1)):
        short = {name: value[row : row + 1, :length] for name, value in features.items()}
        alone = little.model.backbone(short, training=False)["pooled"]
        np.testing.assert_allclose(padded[row : row + 1], alone, atol=1e-5)


def test_each_variable_belongs_to_one_layer(little: LittleModel) -> None:
    layers = little.model.backbone.layer_variables
    assert len(layers) == little.config.backbone.num_layers + 1
    assert all(layers)
    paths = [variable.path for layer in layers for variable in layer]
    assert len(set(paths)) == len(paths)
    assert set(paths) < {variable.path for variable in little.model.trainable_variables}


def test_layer_0_depends_on_the_token_and_not_on_its_context(little: LittleModel) -> None:
    features = inputs(little)
    position = int(features["padding_mask"].sum(axis=1).min()) // 2
    mixed = {name: value.copy() for name, value in features.items()}
    for value in mixed.values():
        value[:, position] = value[0, position]  # one token among the contexts of all
    before, after = layers(little, features)[:, :, position], layers(little, mixed)[:, :, position]
    np.testing.assert_allclose(after[:, 0], np.broadcast_to(after[0, 0], after[:, 0].shape))
    assert np.ptp(before[:, 0], axis=0).max() > 1e-2  # other tokens, other vectors
    assert np.ptp(after[:, -1], axis=0).max() > 1e-2  # and later layers know the context


def test_padding_does_not_change_real_positions(little: LittleModel) -> None:
    features = inputs(little)
    lengths = features["padding_mask"].sum(axis=1)
    assert lengths.min() < features["padding_mask"].shape[1]
    padded, junk = layers(little, features), layers(little, with_junk(little))
    for row, length in enumerate(lengths):
        short = {name: value[row : row + 1, :length] for name, value in features.items()}
        alone = layers(little, short)[0]
        np.testing.assert_allclose(padded[row, :, :length], alone, atol=1e-5)
        np.testing.assert_allclose(junk[row, :, :length], alone, atol=1e-5)
