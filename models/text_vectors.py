"""The two signatures that every family serves: a vector of each text, and vectors of its tokens.

A family provides its tokenizer, its backbone and its `frame`; this module decides the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from models.backbone import Backbone
from models.framing import Framed
from models.tokenizers.tokenizer import Tokenizer

FrameTexts = Callable[[tf.RaggedTensor], Framed]
"""A family's `frame` of single texts, with the special ids and the longest length filled in."""


class Embedded(NamedTuple):
    """A batch of texts and the backbone's vectors of them.

    Attributes:
        tokens: string `[batch, time]`, special tokens included, "" for padding.
        starts, limits: int64 `[batch, time]`, a token's first byte in the text and the byte after
            its last; 0 and 0 for special tokens and padding.
        padding_mask: int32 `[batch, time]`, 1 = a token.
        pooled: float `[batch, hidden_size]`, a vector of the text.
        hidden_states: float `[batch, layers + 1, time, hidden_size]`.
    """

    tokens: tf.Tensor
    starts: tf.Tensor
    limits: tf.Tensor
    padding_mask: tf.Tensor
    pooled: tf.Tensor
    hidden_states: tf.Tensor


def embed(
    texts: tf.Tensor, backbone: Backbone, tokenizer: Tokenizer, frame: FrameTexts
) -> Embedded:
    """Runs the backbone on raw texts, string `[batch]`, in graph."""
    ids, starts, limits = tokenizer.tokenize_with_offsets(texts)
    framed = frame(ids)
    outputs = run_backbone(backbone, framed.features)
    mask = framed.features["padding_mask"]
    return Embedded(
        tokens=tf.where(mask > 0, tokenizer.tokens(framed.ids), ""),
        starts=framed.place(starts),
        limits=framed.place(limits),
        padding_mask=mask,
        pooled=outputs["pooled"],
        hidden_states=outputs["hidden_states"],
    )


def run_backbone(backbone: Backbone, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    """The backbone's outputs without dropout, for an empty batch too.

    Some layers need a first row and a first position, so an empty batch is computed as a row of
    padding, which is cut off again.
    """
    batch = tf.shape(features["padding_mask"])[0]
    missing = tf.cast(tf.equal(batch, 0), tf.int32)
    padded = {
        name: tf.pad(value, [[0, missing], [0, missing], *[[0, 0]] * (len(value.shape) - 2)])
        for name, value in features.items()
    }
    outputs = backbone(padded, training=False)
    return {name: value[:batch] for name, value in outputs.items()}


def vector_signatures(
    backbone: Backbone, tokenizer: Tokenizer, frame: FrameTexts
) -> Mapping[str, Callable]:
    """`serving_default`, a vector of each text, and `hidden_states`, vectors of its tokens.

    Args:
        backbone: with trained weights.
        tokenizer: reads the texts.
        frame: puts special tokens around them.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")], autograph=False)
    def serving_default(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """A vector of each text, and its tokens.

        Returns:
            pooled `[batch, hidden_size]`, tokens, starts, limits and padding_mask: see `Embedded`.
        """
        embedded = embed(texts, backbone, tokenizer, frame)
        return {"pooled": embedded.pooled, **_tokens(embedded)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "texts"),
            tf.TensorSpec([None, None], tf.int32, "layers"),
        ],
        autograph=False,
    )
    def hidden_states(texts: tf.Tensor, layers: tf.Tensor) -> dict[str, tf.Tensor]:
        """Vectors of every token at the requested layers.

        Args:
            texts: string `[batch]`.
            layers: int32 `[batch, chosen]`, a row for each text: 0 is the embedding layer, -1 the
                last layer. Each text has its own choice, so that a server may batch requests.

        Returns:
            hidden_states `[batch, chosen, time, hidden_size]`, tokens, starts, limits and
            padding_mask: see `Embedded`.

        Raises:
            InvalidArgumentError: the model has no such layer.
        """
        embedded = embed(texts, backbone, tokenizer, frame)
        count = embedded.hidden_states.shape[1]
        valid = tf.debugging.Assert(
            tf.reduce_all((layers >= -count) & (layers < count)),
            [f"layers must be from {-count} to {count - 1}, and are", layers],
        )
        with tf.control_dependencies([valid]):
            chosen = tf.where(layers < 0, layers + count, layers)
        return {
            "hidden_states": tf.gather(embedded.hidden_states, chosen, axis=1, batch_dims=1),
            **_tokens(embedded),
        }

    return {"serving_default": serving_default, "hidden_states": hidden_states}


def _tokens(embedded: Embedded) -> dict[str, tf.Tensor]:
    """The outputs that say which tokens the vectors are of."""
    names = ("tokens", "starts", "limits", "padding_mask")
    return {name: getattr(embedded, name) for name in names}


def vector_requests() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Warmup requests for the signatures of `vector_signatures`."""
    texts = ["The river rose above its bank.", "She opened an account at the bank."]
    return {
        "serving_default": [{"texts": texts}, {"texts": [""]}],
        "hidden_states": [
            {"texts": texts, "layers": [[-1], [0]]},
            {"texts": [""], "layers": [[0, -1]]},
        ],
    }
