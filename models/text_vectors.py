"""The serving functions that every family has: `serving_default` and `hidden_states`.

A family says how it reads texts; what is answered, and in which shape, is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class ReadTexts(NamedTuple):
    """What a family's backbone makes of a batch of texts.

    Attributes:
        tokens: string `[batch, time]`, special tokens included, "" for padding.
        starts, limits: int64 `[batch, time]`, a token's first byte in the text and the byte after
            its last; 0 and 0 for special tokens and padding.
        padding_mask: int32 `[batch, time]`, 1 = a token.
        pooled: float `[batch, width]`, a vector of the text.
        hidden_states: float `[batch, layers + 1, time, width]`.
    """

    tokens: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor
    padding_mask: tf.Tensor
    pooled: tf.Tensor
    hidden_states: tf.Tensor


def vector_signatures(read: Callable[[tf.Tensor], ReadTexts]) -> Mapping[str, Callable]:
    """`serving_default`, a vector of each text, and `hidden_states`, vectors of its tokens.

    Args:
        read: texts, string `[batch]` → what the backbone makes of them; called while the functions
            are traced.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")], autograph=False)
    def serving_default(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """A vector of each text, and its tokens.

        Returns:
            pooled `[batch, width]`, and the places of the tokens: see `ReadTexts`.
        """
        found = read(texts)
        return {"pooled": found.pooled, **_places(found)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "texts"),
            tf.TensorSpec([None, None], tf.int32, "layers"),
        ],
        autograph=False,
    )
    def hidden_states(texts: tf.Tensor, layers: tf.Tensor) -> dict[str, tf.Tensor]:
        """Vectors of every token at the layers that are asked for.

        Args:
            texts: string `[batch]`.
            layers: int32 `[batch, chosen]`, each row for its text: 0 is the embedding layer, -1 the
                last layer. A choice for each text, so that a server may join requests.

        Returns:
            hidden_states `[batch, chosen, time, width]`, and the places of the tokens: see
            `ReadTexts`.

        Raises:
            InvalidArgumentError: the model has no such layer.
        """
        found = read(texts)
        count = found.hidden_states.shape[1]
        valid = tf.debugging.Assert(
            tf.reduce_all((layers >= -count) & (layers < count)),
            [f"layers must be from {-count} to {count - 1}, and are", layers],
        )
        with tf.control_dependencies([valid]):
            chosen = tf.where(layers < 0, layers + count, layers)
        return {
            "hidden_states": tf.gather(found.hidden_states, chosen, axis=1, batch_dims=1),
            **_places(found),
        }

    return {"serving_default": serving_default, "hidden_states": hidden_states}


def _places(found: ReadTexts) -> dict[str, tf.Tensor]:
    return {name: getattr(found, name) for name in ("tokens", "starts", "limits", "padding_mask")}


def vector_requests() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Requests to `vector_signatures` that a server answers before it takes others."""
    texts = ["The river rose above its bank.", "She opened an account at the bank."]
    return {
        "serving_default": [{"texts": texts}, {"texts": [""]}],
        "hidden_states": [
            {"texts": texts, "layers": [[-1], [0]]},
            {"texts": [""], "layers": [[0, -1]]},
        ],
    }
