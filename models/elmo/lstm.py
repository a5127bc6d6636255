"""Bidirectional LSTM layers with projected outputs, whose state continues from call to call.

Sak et al., 2014, "Long Short-Term Memory Based Recurrent Neural Network Architectures for Large
Scale Acoustic Modeling", as in Peters et al., 2018, and bilm-tf: cells and projected outputs are
clipped, and there are no peepholes. The inputs' part of the gates does not depend on the previous
step, so it is one product for all steps; recurrence.py has the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from models.elmo.config import ElmoBackboneConfig
from models.elmo.recurrence import Recurrence, Run, Stream, recur

DIRECTIONS = ("forward", "backward")


class State(NamedTuple):
    """The state of the LSTM layers of one direction between two steps."""

    cells: tf.Tensor
    """Float32 `[layers, batch, units]`."""
    outputs: tf.Tensor
    """Float32 `[layers, batch, projection]`, before a skip connection."""


def zero_state(config: ElmoBackboneConfig, batch: int | tf.Tensor) -> State:
    """The state of one direction before the first token."""
    return State(
        tf.zeros([config.num_layers, batch, config.units]),
        tf.zeros([config.num_layers, batch, config.projection_size]),
    )


class ProjectedLstm(keras.layers.Layer):
    """The weights of one LSTM layer in one direction, in the published order of gates: i, j, f, o.

    The forget gate's bias starts at 0, because 1 is added wherever it is used. Initial kernels are
    bilm-tf's: uniform with the Glorot bound of one kernel for inputs and outputs together.

    Attributes:
        kernel: `[projection, 4 · units]`, for the inputs.
        recurrent_kernel: `[projection, 4 · units]`, for the previous step's outputs.
        bias: `[4 · units]`.
        projection: `[units, projection]`.
    """

    def __init__(self, config: ElmoBackboneConfig, name: str) -> None:
        super().__init__(name=name)
        self._units = config.units
        self._projection = config.projection_size
        self.build()

    def build(self, input_shape: object = None) -> None:
        """Creates the weights; their shapes follow from the configuration."""
        width, gates = self._projection, 4 * self._units
        limit = (6 / (2 * width + gates)) ** 0.5
        for name in ("kernel", "recurrent_kernel"):
            initializer = keras.initializers.RandomUniform(-limit, limit)
            weight = self.add_weight(shape=(width, gates), initializer=initializer, name=name)
            setattr(self, name, weight)
        self.bias = self.add_weight(
            shape=(gates,), initializer="zeros", name="bias", autocast=False
        )
        self.projection = self.add_weight(
            shape=(self._units, width), initializer="glorot_uniform", name="projection"
        )
        self.built = True

    def stream(self, inputs: tf.Tensor, cells: tf.Tensor, outputs: tf.Tensor) -> Stream:
        """The layer as input of the recurrence, with the inputs' part of the gates computed.

        Args:
            inputs: `[time, batch, projection]`.
            cells: float32 `[batch, units]`, before the first step.
            outputs: float32 `[batch, projection]`, before the first step.
        """
        forget_bias = tf.repeat([0.0, 0.0, 1.0, 0.0], self._units)
        kernel, recurrent, projection = (
            tf.cast(weight, self.compute_dtype)
            for weight in (self.kernel, self.recurrent_kernel, self.projection)
        )
        gates = tf.cast(tf.tensordot(inputs, kernel, 1), tf.float32) + (self.bias + forget_bias)
        return Stream(gates, recurrent, projection, cells, outputs)


class ElmoLstm(keras.layers.Layer):
    """All LSTM layers of both directions.

    Args:
        config: the sizes.
        recurrence: runs the steps; benchmarks compare other implementations.
    """

    def __init__(
        self, config: ElmoBackboneConfig, recurrence: Recurrence = recur, name: str = "lstm"
    ) -> None:
        super().__init__(name=name)
        self._config = config
        self._recur = functools.partial(
            recurrence, cell_clip=config.cell_clip, output_clip=config.projection_clip
        )
        numbers = range(config.num_layers)
        self.forward_layers = [ProjectedLstm(config, f"forward_{i}") for i in numbers]
        self.backward_layers = [ProjectedLstm(config, f"backward_{i}") for i in numbers]
        self.dropouts = [
            keras.layers.Dropout(config.dropout, name=f"dropout_{i}")
            for i in range(config.num_layers + 1)
        ]
        for layer in (*self.forward_layers, *self.backward_layers, *self.dropouts):
            setattr(self, layer.name, layer)  # tf.train.Checkpoint does not look into lists
        self.built = True

    def layers_of(self, direction: str) -> list[ProjectedLstm]:
        """The layers of a direction, from the bottom.

        Raises:
            ValueError: there is no such direction.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"a direction is one of {', '.join(DIRECTIONS)}, not {direction!r}")
        return self.forward_layers if direction == "forward" else self.backward_layers

    def run(
        self,
        directions: Sequence[str],
        tokens: Sequence[tf.Tensor],
        padding_mask: tf.Tensor | None,
        states: Sequence[State],
        training: bool | None = None,
    ) -> tuple[list[list[tf.Tensor]], list[State]]:
        """Runs directions at once, each over its own tokens in its reading order.

        Args:
            directions: "forward", "backward" or both.
            tokens: by direction, `[batch, time, projection]`.
            padding_mask: `[batch, time]`, 1 = real, real positions first; the same for all
                directions. None: all are real.
            states: by direction, before the first token.
            training: whether there is dropout.

        Returns:
            By direction: the outputs of each layer, `[batch, time, projection]`, zero at padding;
            and the state after the last real token. No gradient flows through the state:
            backpropagation ends at the beginning of the call, as in bilm-tf.
        """
        inputs = [tf.transpose(each, [1, 0, 2]) for each in tokens]
        real = lengths = None
        if padding_mask is not None:
            real = tf.cast(tf.transpose(padding_mask), inputs[0].dtype)[:, :, tf.newaxis]
            lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), axis=1)
        outputs: list[list[tf.Tensor]] = []
        carried: list[list[State]] = []
        for depth in range(self._config.num_layers):
            inputs = [self.dropouts[depth](each, training=training) for each in inputs]
            before = [State(state.cells[depth], state.outputs[depth]) for state in states]
            runs = self._run_layer(depth, directions, inputs, before)
            carried.append([_last_state(*each, lengths) for each in zip(runs, before, strict=True)])
            results = [run.outputs for run in runs]
            if depth and self._config.skip_connections:
                results = [
                    each + tf.cast(below, each.dtype)
                    for each, below in zip(results, inputs, strict=True)
                ]
            results = [tf.cast(each, self.compute_dtype) for each in results]
            # Real positions come first, so no real position has read the padding zeroed here.
            inputs = results if real is None else [each * real for each in results]
            outputs.append(inputs)
        outputs[-1] = [self.dropouts[-1](each, training=training) for each in outputs[-1]]
        by_direction = [
            [tf.transpose(layer, [1, 0, 2]) for layer in layers]
            for layers in zip(*outputs, strict=True)
        ]
        return by_direction, [_stacked(layers) for layers in zip(*carried, strict=True)]

    def _run_layer(
        self,
        depth: int,
        directions: Sequence[str],
        inputs: Sequence[tf.Tensor],
        before: Sequence[State],
    ) -> list[Run]:
        """Runs one layer, all directions in one loop.

        Args:
            depth: the number of the layer, from 0.
            directions: as for `run`.
            inputs: the inputs of each direction, `[time, batch, projection]`.
            before: the state of this layer before the first token, by direction: cells
                `[batch, units]` and outputs `[batch, projection]`.
        """
        return self._recur(
            [
                self.layers_of(direction)[depth].stream(each, state.cells, state.outputs)
                for direction, each, state in zip(directions, inputs, before, strict=True)
            ]
        )

    def call(
        self, tokens: tf.Tensor, padding_mask: tf.Tensor, training: bool | None = None
    ) -> list[tf.Tensor]:
        """Both directions over whole texts, from the zero state.

        Args:
            tokens: `[batch, time, projection]`.
            padding_mask: `[batch, time]`, 1 = real, real positions first.
            training: whether there is dropout.

        Returns:
            `layers + 1` times `[batch, time, 2 · projection]`: the tokens twice, then each layer's
            forward and backward half; zero at padding.
        """
        lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), axis=1)
        tokens = tokens * tf.cast(padding_mask, tokens.dtype)[:, :, tf.newaxis]
        state = zero_state(self._config, tf.shape(tokens)[0])
        reversed_tokens = tf.reverse_sequence(tokens, lengths, seq_axis=1)
        (forward, backward), _ = self.run(
            DIRECTIONS, [tokens, reversed_tokens], padding_mask, [state, state], training
        )
        backward = [tf.reverse_sequence(each, lengths, seq_axis=1) for each in backward]
        halves = zip([tokens, *forward], [tokens, *backward], strict=True)
        return [tf.concat(pair, axis=-1) for pair in halves]

    def compute_output_shape(
        self, tokens_shape: Sequence[int | None]
    ) -> list[tuple[int | None, ...]]:
        """The shapes of what `call` returns."""
        # One argument only: Keras releases disagree about passing the mask's shape, too.
        batch, time, width = tokens_shape
        assert width is not None
        return [(batch, time, 2 * width)] * (self._config.num_layers + 1)


def _last_state(run: Run, before: State, lengths: tf.Tensor | None) -> State:
    """The state of one layer after each row's last real token; see `_after`."""
    return State(
        _after(run.cells, lengths, before.cells), _after(run.outputs, lengths, before.outputs)
    )


def _stacked(layers: Sequence[State]) -> State:
    """The state of all layers from the state of each layer."""
    return State(
        tf.stack([layer.cells for layer in layers]), tf.stack([layer.outputs for layer in layers])
    )


def _after(steps: tf.Tensor, lengths: tf.Tensor | None, before: tf.Tensor) -> tf.Tensor:
    """The value after each row's last real step, without a gradient.

    Args:
        steps: `[time, batch, width]`.
        lengths: int32 `[batch]`; None: all steps are real.
        before: `[batch, width]`, for rows without a real step.
    """
    if lengths is None:
        return tf.stop_gradient(steps[-1])
    values = tf.concat([before[tf.newaxis], steps], axis=0)  # index 0: before the first step
    return tf.stop_gradient(
        tf.gather_nd(values, tf.stack([lengths, tf.range(tf.size(lengths))], axis=1))
    )
