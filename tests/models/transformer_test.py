"""Tests of the layers that BERT and GPT share."""

import math

import keras
import numpy as np
import pytest

from models.errors import ConfigError
from models.transformer import ACTIVATIONS, embedding_rows


def test_both_forms_of_gelu_equal_the_published_formulas() -> None:
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    exact = [value / 2 * (1 + math.erf(value / math.sqrt(2))) for value in x.tolist()]
    cubic = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    found = {name: np.asarray(function(x)) for name, function in ACTIVATIONS.items()}
    np.testing.assert_allclose(found["gelu"], exact, atol=1e-6)
    np.testing.assert_allclose(found["gelu_tanh"], x / 2 * (1 + np.tanh(cubic)), atol=1e-6)
    assert np.abs(found["gelu"] - found["gelu_tanh"]).max() > 1e-4


def test_keras_layers_accept_the_activations() -> None:
    for function in ACTIVATIONS.values():
        assert keras.activations.get(function) is function


@pytest.mark.parametrize(("wanted", "rows"), [(0, 30), (30, 30), (64, 64)])
def test_an_embedding_has_a_row_for_every_entry(wanted: int, rows: int) -> None:
    assert embedding_rows(wanted, 30) == rows


def test_fewer_rows_than_entries_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"29 rows .* 30 entries") as refused:
        embedding_rows(29, 30)
    assert refused.value.where == "model.backbone.vocabulary_rows"
