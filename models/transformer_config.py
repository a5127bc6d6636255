"""Settings that BERT and GPT share. Free of TensorFlow."""

from __future__ import annotations

from typing import Literal

from models.settings import Settings

Activation = Literal["gelu", "gelu_tanh"]
"""Forms of GELU: by the error function, and its approximation by tanh."""


def check_heads(backbone: Settings, width: int, heads: int) -> None:
    """Checks that the attention heads of a Transformer can share its width equally.

    Args:
        backbone: the configuration that has both, as `width` and `heads`.

    Raises:
        ConfigError: they can't.
    """
    if width % heads:
        raise backbone.refused(
            "width",
            f"a width of {width} is not a multiple of the {heads} attention heads",
            f"give a width that {backbone.place}.heads divides",
        )
