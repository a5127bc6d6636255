"""Settings that BERT and GPT share. Imports no TensorFlow."""

from __future__ import annotations

from typing import Literal

from models.settings import Settings

Activation = Literal["gelu", "gelu_tanh"]
"""Forms of GELU: by the error function, and its approximation by tanh."""


def check_heads(backbone: Settings, hidden_size: int, num_heads: int) -> None:
    """Checks that the attention heads of a Transformer can share its hidden size equally.

    Args:
        backbone: the configuration that has the two fields `hidden_size` and `num_heads`.

    Raises:
        ConfigError: the hidden size is not a multiple of the number of heads.
    """
    if hidden_size % num_heads:
        raise backbone.refused(
            "hidden_size",
            f"a hidden size of {hidden_size} is not a multiple of the {num_heads} attention heads",
            f"give a multiple of {backbone.place}.num_heads",
        )
