"""The two forms of GELU that published checkpoints were trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from models.config import Activation


def _gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.activations.gelu(x, approximate=False)


def _gelu_tanh(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS: Mapping[Activation, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
"""Functions of a tensor of any shape, by the name that a configuration gives them."""
