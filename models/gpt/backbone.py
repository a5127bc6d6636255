"""GPT's decoder, built from KerasHub's layers, with every layer's hidden state as output.

Follows Radford et al., 2019, "Language Models are Unsupervised Multitask Learners": pre-norm
Transformer, learned positions, one more normalization after the last layer. The layers have the
names that they have in KerasHub's `GPT2Backbone` (decision 0022).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from models.gpt.config import GptBackboneConfig
from models.tokenizers.tokenizer import Tokenizer
from models.transformer import ACTIVATIONS, embedding_rows

if TYPE_CHECKING:
    import keras_hub

_RESIDUAL = ("attention_output", "feedforward_output_dense")
"""Layers whose outputs are added to the residual stream."""


@dataclasses.dataclass(frozen=True)
class DecoderLayers:
    """The layers of a `GptDecoder`, from KerasHub.

    Attributes:
        config: their sizes.
        vocabulary_size: entries of the tokenizer; the embedding may have more rows.
        token_embedding: ids → vectors; in reverse, vectors → float32 logits, one per row.
    """

    config: GptBackboneConfig
    vocabulary_size: int
    token_embedding: keras_hub.layers.ReversibleEmbedding
    position_embedding: keras_hub.layers.PositionEmbedding
    embeddings_add: keras.layers.Add
    embeddings_dropout: keras.layers.Dropout
    transformer_layers: list[keras_hub.layers.TransformerDecoder]
    layer_norm: keras.layers.LayerNormalization


class GptDecoder(keras.Model):
    """A Transformer decoder with all of its layers visible; documents may share a row.

    Inputs: dict of int32 `[batch, time]`: `token_ids`, `padding_mask` (1 = real, real ones first)
    and `position_ids`. A token attends to itself and all tokens before it. `time` may differ from
    call to call, up to `max_length`. Outputs at padding have no meaning.

    Outputs, a dict:
        hidden_states: `[batch, layers + 1, time, width]`; index 0 is the embedding layer, the last
            layer is normalized.
        sequence_output: `[batch, time, width]`, the last layer.
        pooled: `[batch, width]`, the last layer's vector of the last real token.
        padding_mask: int32 `[batch, time]`, the input of that name.

    Args:
        decoder: the layers, which own the weights; two `GptDecoder`s may share them.
        separate_documents: whether a token attends only to its own document, which begins at the
            nearest position 0 before it. This needs a mask `[time, time]` for each row.

    Attributes:
        decoder: the layers.
        max_length: positions that have an embedding, in tokens.
    """

    def __init__(self, decoder: DecoderLayers, *, separate_documents: bool = False) -> None:
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask", "position_ids")
        }
        x = decoder.token_embedding(inputs["token_ids"])
        x = decoder.embeddings_add(
            (x, decoder.position_embedding(x, positions=inputs["position_ids"]))
        )
        x = decoder.embeddings_dropout(x)
        # Real tokens come first and attend backwards only, so they never see padding. KerasHub's
        # own causal mask would have a row for each row of the batch.
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
                "pooled": _LastToken(name="last_token")(states[-1], inputs["padding_mask"]),
                # A separate operation: Keras takes an input that is an output for a cycle.
                "padding_mask": keras.ops.cast(inputs["padding_mask"], "int32"),
            },
            name="gpt_decoder",
        )
        self.decoder = decoder
        self.max_length = decoder.config.max_length

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.decoder.config.hidden_size

    @property
    def layer_variables(self) -> list[list[keras.Variable]]:
        """See `Backbone.layer_variables`; those of the last normalization are left out."""
        layers = [layer.trainable_variables for layer in self.decoder.transformer_layers]
        above = {id(v) for v in self.decoder.layer_norm.trainable_variables}
        above |= {id(variable) for layer in layers for variable in layer}
        return [[v for v in self.trainable_variables if id(v) not in above], *layers]

    @property
    def rematerialized_layers(self) -> list[keras.layers.Layer]:
        """See `Backbone.rematerialized_layers`."""
        return self.decoder.transformer_layers

    def logits(self, states: tf.Tensor) -> tf.Tensor:
        """Next-token logits float32 `[..., vocabulary]` of last-layer states `[..., width]`.

        The output matrix is the token embedding; its rows beyond the vocabulary have no logits.
        Under mixed precision both factors are rounded, their product is not.
        """
        logits = self.decoder.token_embedding(states, reverse=True)
        if logits.shape[-1] == self.decoder.vocabulary_size:
            return logits  # a slice of all rows would cost a copy in the gradient
        return logits[..., : self.decoder.vocabulary_size]


class _LastToken(keras.layers.Layer):
    """The vector of each row's last real token, which has read all others.

    `[batch, time, hidden_size]` and the padding mask → `[batch, hidden_size]`.
    """

    def call(self, states: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        last = tf.maximum(tf.reduce_sum(padding_mask, axis=1) - 1, 0)
        return tf.gather(states, last, batch_dims=1)


class _Visible(keras.layers.Layer):
    """The positions that each position attends to: int32 `[batch, time]` → bool `[batch or 1, time,
    time]`."""

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
    """A decoder with new weights; the caller seeds Keras before.

    Args:
        config: the sizes.
        tokenizer: determines the number of token embeddings, unless the configuration does.

    Raises:
        ConfigError: the tokenizer has more entries than the embedding has rows.
    """
    decoder = GptDecoder(_layers(config, len(tokenizer.vocabulary)))
    _initialize(decoder, config)
    return decoder


def _initialize(decoder: GptDecoder, config: GptBackboneConfig) -> None:
    """Scales down the initial kernels that write into the residual stream."""
    for weight in decoder.trainable_variables:
        if weight.name == "kernel" and any(f"{name}/" in weight.path for name in _RESIDUAL):
            weight.assign(weight / math.sqrt(2 * config.num_layers))


def _layers(config: GptBackboneConfig, vocabulary_size: int) -> DecoderLayers:
    import keras_hub  # here: example generation imports this module and does not need it

    def normal() -> keras.initializers.Initializer:
        # A new one for each layer: layers that share an initializer start with equal weights.
        return keras.initializers.RandomNormal(stddev=config.initializer_range)

    return DecoderLayers(
        config=config,
        vocabulary_size=vocabulary_size,
        token_embedding=keras_hub.layers.ReversibleEmbedding(
            embedding_rows(config.vocabulary_rows, vocabulary_size),
            config.hidden_size,
            embeddings_initializer=normal(),
            # bfloat16 has 8 bits: a logit of 20 would be rounded to a multiple of 0.125 before the
            # loss.
            reverse_dtype="float32",
            name="token_embedding",
        ),
        position_embedding=keras_hub.layers.PositionEmbedding(
            config.max_length, initializer=normal(), name="position_embedding"
        ),
        embeddings_add=keras.layers.Add(name="embeddings_add"),
        embeddings_dropout=keras.layers.Dropout(config.dropout, name="embeddings_dropout"),
        transformer_layers=[
            keras_hub.layers.TransformerDecoder(
                intermediate_dim=4 * config.hidden_size,
                num_heads=config.num_heads,
                dropout=config.dropout,
                activation=ACTIVATIONS[config.activation],
                layer_norm_epsilon=config.layer_norm_epsilon,
                kernel_initializer=normal(),
                normalize_first=True,
                name=f"transformer_layer_{place}",
            )
            for place in range(config.num_layers)
        ],
        layer_norm=keras.layers.LayerNormalization(
            epsilon=config.layer_norm_epsilon, name="layer_norm"
        ),
    )
