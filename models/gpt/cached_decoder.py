"""The decoder one token at a time, with a cache of the keys and values of earlier tokens.

KerasHub's layers can do this too, but update their cache with `XlaDynamicUpdateSlice`. On a CPU or
GPU TensorFlow compiles that operation for every new shape and keeps the program, and a server sees
thousands of shapes. Therefore the same computation is written here with ordinary TensorFlow
operations over the same weights; see docs/decisions/0021-cached-attention.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from models.gpt.backbone import GptDecoder
from models.transformer import ACTIVATIONS

Cache = list[tf.Tensor]
"""Keys, then values, of each layer in turn: `[batch · heads · capacity, depth]` each."""

_Weights = Mapping[str, tf.Tensor]
_Attend = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

_MASKED = -1e9


class CachedDecoder:
    """A `GptDecoder` for rows that each hold one document, which begins at position 0.

    It reads the weights when it is created, so create it inside the function that uses it.

    Args:
        decoder: owns the weights.
        capacity: positions of the cache, a scalar.
    """

    def __init__(self, decoder: GptDecoder, capacity: tf.Tensor) -> None:
        backbone = decoder.decoder
        self.decoder = decoder
        self.capacity = capacity
        self.dtype = backbone.token_embedding.compute_dtype
        self.heads = backbone.config.num_heads
        self.width = backbone.config.hidden_size
        self.depth = self.width // self.heads
        self.layers = [self._weights(layer.weights) for layer in backbone.transformer_layers]
        entries = slice(backbone.vocabulary_size)  # rows beyond them have no logits
        table = tf.cast(backbone.token_embedding.embeddings.value[entries], self.dtype)
        self.table = tf.cast(table, tf.float32)  # as in `GptDecoder.logits`
        self.last_norm = self._weights(backbone.layer_norm.weights)

    def prefill(self, token_ids: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, Cache]:
        """Reads prompts in one pass.

        Args:
            token_ids: int32 `[batch, time]`, padded after each row's length.
            lengths: int32 `[batch]`, tokens of each row, at least 1.

        Returns:
            Logits float32 `[batch, vocabulary]` of the token that follows each row, and the cache.
        """
        batch, time = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
        place = tf.range(time)
        x = self._embed(tf.reshape(token_ids, [-1]), tf.tile(place, [batch]))
        mask = self._mask(place[tf.newaxis] > place[:, tf.newaxis])
        room = [[0, 0], [0, 0], [0, self.capacity - time], [0, 0]]
        cache: Cache = []

        def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
            q, k, v = (
                tf.transpose(tf.reshape(each, [batch, time, self.heads, self.depth]), [0, 2, 1, 3])
                for each in (query, key, value)
            )
            cache.extend(tf.reshape(tf.pad(each, room), [-1, self.depth]) for each in (k, v))
            return tf.transpose(self._attention(q, k, v, mask), [0, 2, 1, 3])

        for weights in self.layers:
            x = self._layer(x, weights, attend)
        return self._logits(tf.gather(x, tf.range(batch) * time + lengths - 1)), cache

    def step(
        self, token_ids: tf.Tensor, positions: tf.Tensor, cache: Cache
    ) -> tuple[tf.Tensor, Cache]:
        """Reads one more token of each row.

        Args:
            token_ids: int32 `[batch]`.
            positions: int32 `[batch]`, the position of the token; all positions before it are in
                the cache.
            cache: keys and values of earlier positions.

        Returns:
            Logits float32 `[batch, vocabulary]` of the next token, and the cache with this token.
        """
        batch = tf.shape(token_ids)[0]
        x = self._embed(token_ids, positions)
        mask = self._mask(
            tf.range(self.capacity) > positions[:, tf.newaxis, tf.newaxis, tf.newaxis]
        )
        rows = tf.reshape(tf.range(batch * self.heads) * self.capacity, [batch, self.heads])
        rows = tf.reshape(rows + positions[:, tf.newaxis], [-1, 1])
        cached = iter(cache)
        extended: Cache = []

        def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
            for new in (key, value):
                new = tf.reshape(new, [-1, self.depth])
                extended.append(tf.tensor_scatter_nd_update(next(cached), rows, new))
            q = tf.reshape(query, [batch, self.heads, 1, self.depth])
            k, v = (
                tf.reshape(each, [batch, self.heads, self.capacity, self.depth])
                for each in extended[-2:]
            )
            return self._attention(q, k, v, mask)

        for weights in self.layers:
            x = self._layer(x, weights, attend)
        return self._logits(x), extended

    def _weights(self, variables: Sequence[keras.Variable]) -> _Weights:
        """Variables by the last two parts of their paths, as "query/kernel", in the decoder's
        precision."""
        return {
            "/".join(each.path.split("/")[-2:]): tf.cast(tf.convert_to_tensor(each), self.dtype)
            for each in variables
        }

    def _embed(self, token_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """`[tokens]` each → `[tokens, width]`."""
        tokens = self.decoder.decoder.token_embedding.embeddings
        places = self.decoder.decoder.position_embedding.position_embeddings
        return tf.cast(tf.gather(tokens.value, token_ids), self.dtype) + tf.cast(
            tf.gather(places.value, positions), self.dtype
        )

    def _layer(self, x: tf.Tensor, weights: _Weights, attend: _Attend) -> tf.Tensor:
        """One layer, `[tokens, width]` → `[tokens, width]`; `attend` gets tensors of that shape."""
        normal = self._normalize(x, weights, "self_attention_layer_norm")
        attended = attend(
            *(self._product(normal, weights, name) for name in ("query", "key", "value"))
        )
        attended = tf.reshape(attended, [-1, self.width])
        x += self._product(attended, weights, "attention_output")
        normal = self._normalize(x, weights, "feedforward_layer_norm")
        inner = self._product(normal, weights, "feedforward_intermediate_dense")
        inner = ACTIVATIONS[self.decoder.decoder.config.activation](inner)
        return x + self._product(inner, weights, "feedforward_output_dense")

    def _product(self, x: tf.Tensor, weights: _Weights, name: str) -> tf.Tensor:
        bias = tf.reshape(weights[f"{name}/bias"], [-1])
        kernel = tf.reshape(weights[f"{name}/kernel"], [-1, bias.shape[0]])
        return tf.nn.bias_add(tf.matmul(x, kernel), bias)

    def _normalize(self, x: tf.Tensor, weights: _Weights, name: str) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        mean = tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axis=-1, keepdims=True)
        gamma, beta = (tf.cast(weights[f"{name}/{each}"], tf.float32) for each in ("gamma", "beta"))
        epsilon = self.decoder.decoder.config.layer_norm_epsilon
        normal = (x - mean) * tf.math.rsqrt(variance + epsilon)
        return tf.cast(normal * gamma + beta, self.dtype)

    def _attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Attention of queries `[batch, heads, new, depth]` to keys and values at all positions."""
        scores = tf.matmul(query * self.depth**-0.5, key, transpose_b=True)
        return tf.matmul(tf.nn.softmax(scores + mask), value)

    def _mask(self, hidden: tf.Tensor) -> tf.Tensor:
        return tf.cast(hidden, self.dtype) * _MASKED

    def _logits(self, x: tf.Tensor) -> tf.Tensor:
        states = self._normalize(x, self.last_norm, "layer_norm")
        # With the table as the first factor: the other order takes up to twice as long on a CPU.
        return tf.transpose(tf.matmul(self.table, tf.cast(states, tf.float32), transpose_b=True))
