"""BERT's encoder, built from KerasHub's layers, with every layer's hidden state as output.

Follows Devlin et al., 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", and google-research/bert: post-norm Transformer, learned positions. The layers have
the names that they have in KerasHub's `BertBackbone` (decision 0022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from models.bert.config import BertBackboneConfig
from models.tokenizers.tokenizer import Tokenizer
from models.transformer import ACTIVATIONS, embedding_rows

if TYPE_CHECKING:
    import keras_hub

_EMBEDDINGS_RANGE = 0.02


class BertEncoder(keras.Model):
    """A Transformer encoder with all of its layers visible.

    Inputs: dict of int32 `[batch, time]`: `token_ids`, `segment_ids`, `padding_mask` (1 = real).
    `time` may differ from call to call, up to `max_length`.

    Outputs, a dict:
        hidden_states: `[batch, layers + 1, time, width]`; index 0 is the embedding layer.
        sequence_output: `[batch, time, width]`, the last layer alone; code that needs no other
            layer reads it, so that the stack is pruned from the compiled step.
        pooled: `[batch, width]`, tanh of a dense layer over the first token.
        padding_mask: int32 `[batch, time]`, the input of that name.

    Args:
        config: the sizes.
        vocabulary_size: entries of the tokenizer.

    Attributes:
        config: the sizes.
        vocabulary_size: entries of the tokenizer; the embedding may have more rows.
        max_length: positions that have an embedding, in tokens.
        token_embedding: ids → vectors; in reverse, vectors → float32 logits, one per row.
        transformer_layers: the layers above the embedding layer.
        pooled_dense: the layer that makes `pooled`.
    """

    def __init__(self, config: BertBackboneConfig, vocabulary_size: int) -> None:
        import keras_hub  # here: example generation imports this module and does not need it

        layers = keras.layers
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_ids", "padding_mask")
        }
        token_embedding = keras_hub.layers.ReversibleEmbedding(
            embedding_rows(config.vocabulary_rows, vocabulary_size),
            config.hidden_size,
            embeddings_initializer=_normal(_EMBEDDINGS_RANGE),
            reverse_dtype="float32",  # else logits would be rounded before the loss
            name="token_embedding",
        )
        tokens = token_embedding(inputs["token_ids"])
        positions = keras_hub.layers.PositionEmbedding(
            config.max_length, initializer=_normal(_EMBEDDINGS_RANGE), name="position_embedding"
        )(tokens)
        segments = layers.Embedding(
            config.num_segments,
            config.hidden_size,
            embeddings_initializer=_normal(_EMBEDDINGS_RANGE),
            name="segment_embedding",
        )(inputs["segment_ids"])
        x = layers.Add(name="embeddings_add")((tokens, positions, segments))
        x = layers.LayerNormalization(
            epsilon=config.layer_norm_epsilon, name="embeddings_layer_norm"
        )(x)
        states = [layers.Dropout(config.dropout, name="embeddings_dropout")(x)]
        transformer_layers = [
            _transformer_layer(config, place) for place in range(config.num_layers)
        ]
        for layer in transformer_layers:
            states.append(layer(states[-1], padding_mask=inputs["padding_mask"]))
        pooled_dense = layers.Dense(
            config.hidden_size,
            kernel_initializer=_normal(config.initializer_range),
            activation="tanh",
            name="pooled_dense",
        )
        super().__init__(
            inputs=inputs,
            outputs={
                "hidden_states": keras.ops.stack(states, axis=1),
                "sequence_output": states[-1],
                "pooled": pooled_dense(states[-1][:, 0]),
                # A separate operation: Keras takes an input that is also an output for a cycle.
                "padding_mask": keras.ops.cast(inputs["padding_mask"], "int32"),
            },
            name="bert_encoder",
        )
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.max_length = config.max_length
        self.token_embedding = token_embedding
        self.transformer_layers = transformer_layers
        self.pooled_dense = pooled_dense

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.config.hidden_size

    @property
    def layer_variables(self) -> list[list[keras.Variable]]:
        """See `Backbone.layer_variables`; the pooler's are left out."""
        layers = [layer.trainable_variables for layer in self.transformer_layers]
        above = {id(v) for v in self.pooled_dense.trainable_variables}
        above |= {id(variable) for layer in layers for variable in layer}
        return [[v for v in self.trainable_variables if id(v) not in above], *layers]

    @property
    def rematerialized_layers(self) -> list[keras.layers.Layer]:
        """See `Backbone.rematerialized_layers`."""
        return self.transformer_layers


def _normal(stddev: float) -> keras.initializers.Initializer:
    """A normal distribution cut at two standard deviations.

    Each layer needs its own initializer: layers that share one start with equal weights.
    """
    return keras.initializers.TruncatedNormal(stddev=stddev)


def _transformer_layer(
    config: BertBackboneConfig, place: int
) -> keras_hub.layers.TransformerEncoder:
    import keras_hub

    return keras_hub.layers.TransformerEncoder(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_size,
        activation=ACTIVATIONS[config.activation],
        dropout=config.dropout,
        layer_norm_epsilon=config.layer_norm_epsilon,
        kernel_initializer=_normal(config.initializer_range),
        name=f"transformer_layer_{place}",
    )


def build_backbone(config: BertBackboneConfig, tokenizer: Tokenizer) -> BertEncoder:
    """An encoder with new weights; the caller seeds Keras before.

    Args:
        config: the sizes.
        tokenizer: determines the number of token embeddings, unless the configuration does.

    Raises:
        ConfigError: the tokenizer has more entries than the embedding has rows.
    """
    return BertEncoder(config, len(tokenizer.vocabulary))
