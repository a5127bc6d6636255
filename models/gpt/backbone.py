"""GPT's decoder: KerasHub's `GPT2Backbone`, opened up to give every layer's hidden state (law 3).

Follows Radford et al., 2019, "Language Models are Unsupervised Multitask Learners": pre-norm
Transformer, learned positions, GELU by tanh, one more normalization after the last layer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from models.gpt.config import GptBackboneConfig
from models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras_hub

_RESIDUAL = ("attention_output", "feedforward_output_dense")  # layers that write into the stream
_KERASHUBS_RANGE, _KERASHUBS_TOKEN_RANGE = 0.02, 0.01


class GptDecoder(keras.Model):
    """KerasHub's decoder with all of its layers visible, and with documents that may share a row.

    Inputs: dict of int32 `[batch, time]`: `token_ids`, `padding_mask` (1 = real, real ones first)
    and `position_ids`. A token attends to itself and all tokens before it. `time` is free at every
    call, positions go up to `max_length`. Outputs at padding mean nothing.

    Outputs, a dict:
        hidden_states: `[batch, layers + 1, time, width]`; index 0 is the embedding layer, the last
            one is normalized.
        sequence_output: `[batch, time, width]`, the last layer.
        padding_mask: int32 `[batch, time]`, as it came in.

    Args:
        decoder: the KerasHub backbone, which owns the weights; two `GptDecoder`s may share one.
        separate_documents: whether a token attends only to its own document, which begins at the
            nearest position 0 before it. That takes a mask `[time, time]` for each row.

    Attributes:
        decoder: the KerasHub backbone.
        max_length: positions that have an embedding, in tokens.
    """

    def __init__(
        self, decoder: keras_hub.models.GPT2Backbone, *, separate_documents: bool = False
    ) -> None:
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask", "position_ids")
        }
        x = decoder.token_embedding(inputs["token_ids"])
        x = decoder.embeddings_add(
            (x, decoder.position_embedding(x, positions=inputs["position_ids"]))
        )
        x = decoder.embeddings_dropout(x)
        # Real tokens come first and look back only, so none of them sees padding without a mask.
        # KerasHub's own causal mask would be as large as the batch.
        visible = _Visible(separate_documents, name="visible")(inputs["position_ids"])
        states = [x]
        for layer in decoder.transformer_layers:
            x = layer(x, decoder_attention_mask=visible, use_causal_mask=False)
            states.append(x)
        states[-1] = decoder.layer_norm(x)
        super().__init__(
            inputs=inputs,
            outputs={
                "hidden_states": keras.ops.stack(states, axis=1),
                "sequence_output": states[-1],
                # An operation of its own: Keras takes an input that is an output for a cycle.
                "padding_mask": keras.ops.cast(inputs["padding_mask"], "int32"),
            },
            name="gpt_decoder",
        )
        self.decoder = decoder
        self.max_length = decoder.max_sequence_length

    @property
    def layer_variables(self) -> list[list[keras.Variable]]:
        """Trainable variables of each layer, in the order of `hidden_states`.

        Not those of the last normalization.
        """
        layers = [layer.trainable_variables for layer in self.decoder.transformer_layers]
        above = {id(v) for v in self.decoder.layer_norm.trainable_variables}
        above |= {id(variable) for layer in layers for variable in layer}
        return [[v for v in self.decoder.trainable_variables if id(v) not in above], *layers]

    def logits(self, states: tf.Tensor) -> tf.Tensor:
        """Next-token logits float32 `[..., vocabulary]` of last-layer states `[..., width]`.

        The output matrix is the token embedding. Under mixed precision both factors are rounded,
        their product is not.
        """
        return keras.ops.cast(self.decoder.token_embedding(states, reverse=True), "float32")


class _Visible(keras.layers.Layer):
    """What each position attends to: int32 `[batch, time]` → bool `[batch or 1, time, time]`."""

    def __init__(self, separate_documents: bool, name: str) -> None:
        super().__init__(name=name)
        self.separate_documents = separate_documents

    def call(self, position_ids: keras.KerasTensor) -> keras.KerasTensor:
        ops = keras.ops
        place = ops.arange(ops.shape(position_ids)[1])
        causal = (place[:, None] >= place)[None]
        if not self.separate_documents:
            return causal
        document = ops.cumsum(ops.cast(ops.equal(position_ids, 0), "int32"), axis=1)
        same = ops.equal(document[:, :, None], document[:, None, :])
        return ops.logical_and(causal, same)


def build_backbone(config: GptBackboneConfig, tokenizer: Tokenizer) -> GptDecoder:
    """A decoder with fresh weights; the caller seeds Keras before.

    Args:
        config: the shape.
        tokenizer: decides the number of token embeddings.
    """
    import keras_hub  # here: who makes examples imports this module, and need not wait for it

    decoder = keras_hub.models.GPT2Backbone(
        vocabulary_size=len(tokenizer.vocabulary),
        num_layers=config.layers,
        num_heads=config.heads,
        hidden_dim=config.width,
        intermediate_dim=4 * config.width,
        dropout=config.dropout,
        max_sequence_length=config.max_length,
        name="decoder",
    )
    # bfloat16 has 8 bits: a logit of 20 would be rounded to a multiple of 0.125 before the loss.
    decoder.token_embedding.reverse_dtype = "float32"
    _initialize(decoder, config)
    return GptDecoder(decoder)


def _initialize(decoder: keras_hub.models.GPT2Backbone, config: GptBackboneConfig) -> None:
    """Scales KerasHub's first weights, whose spread is no argument of its constructor."""
    token_scale = config.initializer_range / _KERASHUBS_TOKEN_RANGE
    scale = config.initializer_range / _KERASHUBS_RANGE
    for weight in decoder.trainable_variables:
        if weight is decoder.token_embedding.embeddings:
            weight.assign(weight * token_scale)
        elif weight.name == "embeddings":
            weight.assign(weight * scale)
        elif weight.name == "kernel":
            writes = any(f"{name}/" in weight.path for name in _RESIDUAL)
            weight.assign(weight * (scale / math.sqrt(2 * config.layers) if writes else scale))
