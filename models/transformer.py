"""Details in which published Transformers differ: the form of GELU, and embedding rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from models.errors import ConfigError
from models.transformer_config import Activation


def _gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.activations.gelu(x, approximate=False)


def _gelu_tanh(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS: Mapping[Activation, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
"""Activation functions by their name in the settings."""


def embedding_rows(rows: int, entries: int) -> int:
    """Rows of the token embedding.

    Args:
        rows: `model.backbone.vocabulary_rows`; 0: one row per entry.
        entries: entries of the tokenizer.

    Raises:
        ConfigError: some entries would have no row.
    """
    if rows and rows < entries:
        raise ConfigError(
            f"an embedding of {rows} rows has none for some of the tokenizer's {entries} entries",
            where="model.backbone.vocabulary_rows",
            remedy=f"give {entries} or more, or 0 for one row per entry",
        )
    return rows or entries
