"""BERT's encoder: KerasHub's `BertBackbone`, opened up to give every layer's hidden state (law 3).

Follows Devlin et al., 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", and google-research/bert: post-norm Transformer, GELU by tanh, learned positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from models.bert.config import BertBackboneConfig
from models.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras_hub

_KERASHUBS_RANGE = 0.02  # the encoder's initializers are no argument of its constructor


class BertEncoder(keras.Model):
    """KerasHub's encoder with all of its layers visible.

    Inputs: dict of int32 `[batch, time]`: `token_ids`, `segment_ids`, `padding_mask` (1 = real).
    `time` is free at every call, up to `max_length`.

    Outputs, a dict:
        hidden_states: `[batch, layers + 1, time, width]`; index 0 is the embedding layer.
        sequence_output: `[batch, time, width]`, the last layer. Whoever needs no other layer reads
            this one, so that the stack is pruned from the compiled step.
        pooled: `[batch, width]`, tanh of a dense layer over the first token.
        padding_mask: int32 `[batch, time]`, as it came in.

    Attributes:
        encoder: the KerasHub backbone, which owns the weights.
        max_length: positions that have an embedding, in tokens.
        initializer_range: standard deviation that its kernels started with.
    """

    def __init__(self, encoder: keras_hub.models.BertBackbone, initializer_range: float) -> None:
        layers = [encoder.embeddings_dropout, *encoder.transformer_layers]
        super().__init__(
            inputs=encoder.input,
            outputs={
                "hidden_states": keras.ops.stack([layer.output for layer in layers], axis=1),
                "sequence_output": encoder.output["sequence_output"],
                "pooled": encoder.output["pooled_output"],
                # An operation of its own: Keras takes an input that is also an output for a cycle.
                "padding_mask": keras.ops.cast(encoder.input["padding_mask"], "int32"),
            },
            name="bert_encoder",
        )
        self.encoder = encoder
        self.max_length = encoder.max_sequence_length
        self.initializer_range = initializer_range

    @property
    def layer_variables(self) -> list[list[keras.Variable]]:
        """Trainable variables of each layer, in the order of `hidden_states`; not the pooler's."""
        layers = [layer.trainable_variables for layer in self.encoder.transformer_layers]
        above = {id(v) for v in self.encoder.pooled_dense.trainable_variables}
        above |= {id(variable) for layer in layers for variable in layer}
        return [[v for v in self.encoder.trainable_variables if id(v) not in above], *layers]


def build_backbone(config: BertBackboneConfig, tokenizer: Tokenizer) -> BertEncoder:
    """An encoder with fresh weights; the caller seeds Keras before.

    Args:
        config: the shape.
        tokenizer: decides the number of token embeddings.
    """
    import keras_hub  # here: who makes examples imports this module, and need not wait for it

    encoder = keras_hub.models.BertBackbone(
        vocabulary_size=len(tokenizer.vocabulary),
        num_layers=config.layers,
        num_heads=config.heads,
        hidden_dim=config.width,
        intermediate_dim=config.intermediate,
        dropout=config.dropout,
        max_sequence_length=config.max_length,
        name="encoder",
    )
    if config.initializer_range != _KERASHUBS_RANGE:
        for weight in encoder.trainable_variables:
            if weight.name == "kernel":
                weight.assign(weight * (config.initializer_range / _KERASHUBS_RANGE))
    return BertEncoder(encoder, config.initializer_range)
