"""ELMo's encoder: word vectors from characters, then LSTMs in both directions.

Follows Peters et al., 2018, "Deep contextualized word representations", and bilm-tf: convolutions
over the characters of each word and highway layers (Kim et al., 2015, "Character-Aware Neural
Language Models"), a projection, and LSTMs. The two directions share the word vectors only.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models.elmo.config import ElmoBackboneConfig
from models.elmo.distinct import DistinctWords, find
from models.elmo.lstm import DIRECTIONS, ElmoLstm, State, zero_state
from models.private_api import compiled_by_xla
from models.tokenizers.character import CHARACTERS, WORD_LENGTH
from models.tokenizers.tokenizer import Tokenizer

_CARRY_BIAS = -2.0  # a highway layer starts by letting most of its input through


class Convolution(keras.layers.Layer):
    """The largest output of each filter over the positions of a word, at least 0.

    Attributes:
        kernel: `[width, character_embedding_size, count]`.
        bias: `[count]`.
    """

    def __init__(self, character_embedding_size: int, width: int, count: int, name: str) -> None:
        super().__init__(name=name)
        self.kernel = self.add_weight(
            shape=(width, character_embedding_size, count),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(count,), initializer="zeros", name="bias")
        self.built = True

    def call(self, characters: tf.Tensor) -> tf.Tensor:
        """`[words, 50, character_embedding_size]` → `[words, count]`."""
        outputs = tf.nn.conv1d(characters, self.kernel, stride=1, padding="VALID")
        # With oneDNN, the convolution of zero words has the shape of its input.
        words, length = tf.unstack(tf.shape(characters)[:2])
        width, _, count = self.kernel.shape
        outputs = tf.reshape(outputs, [words, length - width + 1, count])
        # Adding the bias after the maximum gives the same result with 50 times fewer additions.
        return tf.nn.relu(tf.reduce_max(outputs, axis=1) + self.bias)


class Highway(keras.layers.Layer):
    """A highway layer: g · relu(x W + b) + (1 - g) · x, with a learned gate g.

    Srivastava et al., 2015, "Highway Networks".

    Attributes:
        carry: the gate before the sigmoid; the name is bilm-tf's.
        transform: the layer whose output is mixed with the input.
    """

    def __init__(self, width: int, name: str) -> None:
        super().__init__(name=name)
        self.carry = _dense(width, width, "carry", bias=_CARRY_BIAS)
        self.transform = _dense(width, width, "transform")
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[words, width]` → `[words, width]`."""
        gate = tf.sigmoid(self.carry(inputs))
        return gate * tf.nn.relu(self.transform(inputs)) + (1 - gate) * inputs


class TokenLayer(keras.layers.Layer):
    """Vectors of words, computed from their characters without context.

    Initial weights are bilm-tf's: characters uniform in [-1, 1], convolutions in [-0.05, 0.05],
    other kernels normal with the variance 1 / width of their inputs.

    Attributes:
        characters: `[262, character_embedding_size]`. Row 0, of positions without a word, starts at
            0 and gets no gradient, because the loss does not depend on these positions.
        convolutions: a layer for each width.
        highways: the highway layers.
        projection: the dense layer at the end.
    """

    def __init__(self, config: ElmoBackboneConfig, name: str = "token_layer") -> None:
        super().__init__(name=name)
        self._width = config.projection_size
        self._widest = max(width for width, _ in config.filters)
        self.characters = self.add_weight(
            shape=(CHARACTERS, config.character_embedding_size),
            initializer=_characters,
            name="characters",
        )
        self.convolutions = [
            Convolution(config.character_embedding_size, width, count, f"convolution_{i}")
            for i, (width, count) in enumerate(config.filters)
        ]
        filters = sum(count for _, count in config.filters)
        self.highways = [Highway(filters, f"highway_{i}") for i in range(config.num_highways)]
        layers: list[keras.layers.Layer] = [*self.convolutions, *self.highways]
        for layer in layers:
            setattr(self, layer.name, layer)  # tf.train.Checkpoint does not look into lists
        self.projection = _dense(filters, config.projection_size, "projection")
        self.built = True

    def call(
        self,
        character_ids: tf.Tensor,
        places: tf.Tensor | None = None,
        sizes: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Vectors of words, int32 `[…, 50]` → `[…, projection]`, or of a `DistinctWords`.

        Each distinct word is computed once, with as little padding as the convolutions need. XLA
        has to know every shape, so under XLA all words are computed at full length.

        Args:
            character_ids: the words, or `DistinctWords.characters`.
            places, sizes: `DistinctWords.places`, of any shape `[…]`, and its `sizes`.
        """
        if places is not None:
            return self._of_distinct(DistinctWords(character_ids, places, sizes))
        rows = tf.reshape(character_ids, [-1, WORD_LENGTH])
        vectors = self._vectors(rows) if compiled_by_xla() else self._of_distinct(find(rows))
        shape = tf.shape(character_ids)[:-1]
        vectors = tf.reshape(vectors, tf.concat([shape, [self._width]], axis=0))
        vectors.set_shape([*character_ids.shape[:-1], self._width])
        return vectors

    def _of_distinct(self, words: DistinctWords) -> tf.Tensor:
        characters = words.characters
        if not compiled_by_xla():
            count, longest = tf.unstack(words.sizes)
            # All windows of padding give the same output, so one of them is enough.
            characters = characters[:count, : tf.minimum(longest + self._widest, WORD_LENGTH)]
        return tf.gather(self._vectors(characters), words.places)

    def _vectors(self, rows: tf.Tensor) -> tf.Tensor:
        """Character ids `[words, characters]` → `[words, projection]`."""
        letters = tf.gather(self.characters, rows)
        words = tf.concat([convolution(letters) for convolution in self.convolutions], axis=-1)
        for highway in self.highways:
            words = highway(words)
        return self.projection(words)

    def compute_output_shape(
        self, character_ids_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """The shape of what `call` returns."""
        return *character_ids_shape[:-1], self._width


class _Ends(keras.layers.Layer):
    """The forward half after the last word of a row, and the backward half before its first word.

    Each half has then read the whole row: `[batch, time, hidden_size]` → `[batch, hidden_size]`.
    """

    def call(self, states: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        # Sums over one position instead of a gather, because a row may have no real position.
        position = tf.range(tf.shape(states)[1])
        last = tf.reduce_sum(padding_mask, axis=1, keepdims=True) - 1
        at_last = (position == last)[:, :, tf.newaxis]
        at_first = (position == 0)[tf.newaxis, :, tf.newaxis]
        half = states.shape[-1] // 2
        forward = tf.reduce_sum(tf.where(at_last, states[:, :, :half], 0), axis=1)
        backward = tf.reduce_sum(tf.where(at_first, states[:, :, half:], 0), axis=1)
        return tf.concat([forward, backward], axis=-1)


class ElmoEncoder(keras.Model):
    """The encoder, and its parts for pretraining.

    Inputs: dict of int32 `character_ids` `[batch, time, 50]`, as `CharacterTokenizer` gives them,
    and `padding_mask` `[batch, time]` (1 = real; real positions come first). `time` may differ from
    call to call.

    Outputs, a dict:
        hidden_states: `[batch, layers + 1, time, 2 · projection]`, the forward half first; index 0
            is the token layer, twice. The backward direction reads each row from its last real
            position. Zero at padding.
        sequence_output: `[batch, time, 2 · projection]`, the last layer.
        pooled: `[batch, 2 · projection]`, the last layer's forward half after the last word and its
            backward half before the first word.
        padding_mask: int32 `[batch, time]`, the input of that name.

    Attributes:
        config: the sizes.
        token_layer: words' characters int32 `[batch, time, 50]` → `[batch, time, projection]`.
        lstm: the LSTM layers of both directions.
    """

    def __init__(self, config: ElmoBackboneConfig) -> None:
        inputs = {
            "character_ids": keras.Input([None, WORD_LENGTH], dtype="int32", name="character_ids"),
            "padding_mask": keras.Input([None], dtype="int32", name="padding_mask"),
        }
        token_layer, lstm = TokenLayer(config), ElmoLstm(config)
        states = lstm(token_layer(inputs["character_ids"]), inputs["padding_mask"])
        super().__init__(
            inputs=inputs,
            outputs={
                "hidden_states": keras.ops.stack(states, axis=1),
                "sequence_output": states[-1],
                "pooled": _Ends(name="ends")(states[-1], inputs["padding_mask"]),
                # A separate operation: Keras takes an input that is also an output for a cycle.
                "padding_mask": keras.ops.cast(inputs["padding_mask"], "int32"),
            },
            name="elmo_encoder",
        )
        self.config = config
        self.token_layer = token_layer
        self.lstm = lstm

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states: both directions together."""
        return 2 * self.config.projection_size

    @property
    def max_length(self) -> None:
        """None: an LSTM reads rows of any length."""

    @property
    def layer_variables(self) -> list[list[keras.Variable]]:
        """See `Backbone.layer_variables`."""
        pairs = zip(self.lstm.forward_layers, self.lstm.backward_layers, strict=True)
        return [
            self.token_layer.trainable_variables,
            *([v for layer in pair for v in layer.trainable_variables] for pair in pairs),
        ]

    @property
    def rematerialized_layers(self) -> list[keras.layers.Layer]:
        """See `Backbone.rematerialized_layers`: the convolutions over words."""
        return [self.token_layer]

    def zero_state(self, batch: int | tf.Tensor) -> State:
        """The state of one direction before the first token, for `batch` rows."""
        return zero_state(self.config, batch)

    def run(
        self,
        direction: str,
        tokens: tf.Tensor,
        padding_mask: tf.Tensor | None,
        state: State,
        training: bool | None = None,
    ) -> tuple[list[tf.Tensor], State]:
        """Runs one direction over tokens in its reading order, starting from a state.

        Args:
            direction: "forward" or "backward"; for "backward" the caller has reversed the tokens.
            tokens: from `token_layer`, `[batch, time, projection]`.
            padding_mask: `[batch, time]`, 1 = real, real positions first; None: all are real.
            state: what the call before returned, or `zero_state`.
            training: whether there is dropout.

        Returns:
            The outputs of each layer, `[batch, time, projection]`, zero at padding, and the state
            after each row's last real token, without a gradient.
        """
        (outputs,), (state,) = self.lstm.run([direction], [tokens], padding_mask, [state], training)
        return outputs, state

    def run_both(
        self,
        tokens: tuple[tf.Tensor, tf.Tensor],
        padding_mask: tf.Tensor | None,
        states: tuple[State, State],
        training: bool | None = None,
    ) -> tuple[tuple[list[tf.Tensor], list[tf.Tensor]], tuple[State, State]]:
        """Runs both directions at once, each over its own tokens: faster than one after the other.

        Args:
            tokens: forward, backward, each as `run` takes them.
            padding_mask: as in `run`, for both.
            states: forward, backward.
            training: whether there is dropout.

        Returns:
            Outputs and states as `run` returns them, forward and backward.
        """
        (forward, backward), (forwards, backwards) = self.lstm.run(
            DIRECTIONS, tokens, padding_mask, states, training
        )
        return (forward, backward), (forwards, backwards)


def build_backbone(config: ElmoBackboneConfig, tokenizer: Tokenizer) -> ElmoEncoder:
    """An encoder with new weights; the caller seeds Keras before.

    Args:
        config: the sizes.
        tokenizer: not used: the characters are the same for every tokenizer.
    """
    del tokenizer
    return ElmoEncoder(config)


def _dense(inputs: int, outputs: int, name: str, bias: float = 0.0) -> keras.layers.Dense:
    """A dense layer, already built."""
    layer = keras.layers.Dense(
        outputs,
        kernel_initializer=keras.initializers.RandomNormal(stddev=inputs**-0.5),
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )
    layer.build((None, inputs))
    return layer


def _characters(shape: tuple[int, int], dtype: Any = None) -> Any:
    """Initial character embeddings of a shape: uniform in [-1, 1], and 0 in row 0."""
    # An initializer, because Keras's random functions ignore a seed that is set later.
    rows = keras.initializers.RandomUniform(-1.0, 1.0)((shape[0] - 1, shape[1]), dtype=dtype)
    return keras.ops.pad(rows, [[1, 0], [0, 0]])
