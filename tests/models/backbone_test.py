"""Every family's backbone keeps the protocol: shapes, layers, padding and context."""

import numpy as np
import pytest

from models.backbone import Backbone
from models.registry import FAMILIES
from tests.testdata.little_families import Batch, LittleModel, inputs, little_model, with_junk


@pytest.fixture(scope="module", params=FAMILIES)
def given(request: pytest.FixtureRequest) -> LittleModel:
    return little_model(request.param)


def layers(given: LittleModel, features: Batch) -> np.ndarray:
    return np.asarray(given.model.backbone(features, training=False)["hidden_states"])


def test_a_backbone_gives_every_layer_and_the_mask(given: LittleModel) -> None:
    features = inputs(given)
    out = given.model.backbone(features, training=False)
    batch, time = features["padding_mask"].shape
    assert out["hidden_states"].shape[:3] == (batch, given.config.backbone.num_layers + 1, time)
    assert out["hidden_states"].shape.rank == 4
    assert np.isfinite(out["hidden_states"]).all()
    assert np.array_equal(out["sequence_output"], out["hidden_states"][:, -1])
    assert np.array_equal(out["padding_mask"], features["padding_mask"])


def test_a_backbone_says_what_it_reads_and_how_large_it_is(given: LittleModel) -> None:
    backbone: Backbone = given.model.backbone
    features = inputs(given)
    out = backbone(features, training=False)
    assert "padding_mask" in backbone.input
    assert out["hidden_states"].shape[-1] == backbone.hidden_size
    assert out["pooled"].shape == (len(features["padding_mask"]), backbone.hidden_size)
    assert backbone.max_length is None or backbone.max_length >= features["padding_mask"].shape[1]
    assert all(layer.trainable_variables for layer in backbone.rematerialized_layers)


def test_padding_changes_no_pooled_vector(given: LittleModel) -> None:
    features = inputs(given)
    padded = given.model.backbone(features, training=False)["pooled"]
    for row, length in enumerate(features["padding_mask"].sum(axis=1)):
        short = {name: value[row : row + 1, :length] for name, value in features.items()}
        alone = given.model.backbone(short, training=False)["pooled"]
        np.testing.assert_allclose(padded[row : row + 1], alone, atol=1e-5)


def test_a_backbone_tells_its_layers_variables_apart(given: LittleModel) -> None:
    layers = given.model.backbone.layer_variables
    assert len(layers) == given.config.backbone.num_layers + 1
    assert all(layers)
    paths = [variable.path for layer in layers for variable in layer]
    assert len(set(paths)) == len(paths)
    assert set(paths) < {variable.path for variable in given.model.trainable_variables}


def test_index_0_knows_the_token_and_not_its_context(given: LittleModel) -> None:
    features = inputs(given)
    position = int(features["padding_mask"].sum(axis=1).min()) // 2
    mixed = {name: value.copy() for name, value in features.items()}
    for value in mixed.values():
        value[:, position] = value[0, position]  # one token among the contexts of all
    before, after = layers(given, features)[:, :, position], layers(given, mixed)[:, :, position]
    np.testing.assert_allclose(after[:, 0], np.broadcast_to(after[0, 0], after[:, 0].shape))
    assert np.ptp(before[:, 0], axis=0).max() > 1e-2  # other tokens, other vectors
    assert np.ptp(after[:, -1], axis=0).max() > 1e-2  # and later layers know the context


def test_padding_changes_no_real_position(given: LittleModel) -> None:
    features = inputs(given)
    lengths = features["padding_mask"].sum(axis=1)
    assert lengths.min() < features["padding_mask"].shape[1]
    padded, junk = layers(given, features), layers(given, with_junk(given))
    for row, length in enumerate(lengths):
        short = {name: value[row : row + 1, :length] for name, value in features.items()}
        alone = layers(given, short)[0]
        np.testing.assert_allclose(padded[row, :, :length], alone, atol=1e-5)
        np.testing.assert_allclose(junk[row, :, :length], alone, atol=1e-5)
