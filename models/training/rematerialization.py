"""Rematerialization: recomputes a layer's inner values for the gradient instead of keeping them.

Also called gradient checkpointing: Chen et al., 2016, "Training Deep Nets with Sublinear Memory
Cost". Keras's own `RematScope` draws other dropout in the second computation, so its gradient is
not the gradient of the loss.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf


@contextlib.contextmanager
def rematerialized(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """In the block, calls of these layers keep no inner values for the gradient.

    For the gradient a layer is called again, with the same inputs and the same states of its seeds,
    which give the same dropout. The block must be inside the gradient's tape and a
    `keras.StatelessScope`, and must end before the gradient is computed.

    Args:
        layers: each returns one tensor and changes no variables but its seeds. None of them is part
            of another.
    """
    calls = [_rematerialized_call(layer) for layer in layers]
    try:
        for layer, call in zip(layers, calls, strict=True):
            layer.call = call
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _rematerialized_call(layer: keras.layers.Layer) -> Callable[..., tf.Tensor]:
    """The function that replaces the layer's `call` in the block."""
    rematerialization = _Rematerialization(layer)

    @functools.wraps(layer.call)
    def call(*args: Any, **kwargs: Any) -> tf.Tensor:
        return rematerialization.call(args, kwargs)

    return call


class _Rematerialization:
    """A layer, its variables, and the two computations of its output."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        self._layer = layer
        self._original_call = layer.call
        self._weights = layer.trainable_variables
        self._seeds = layer.non_trainable_variables
        # Read here: inside a call Keras returns weights in the type that the layer computes in.
        self._weight_values = [tf.convert_to_tensor(weight.value) for weight in self._weights]

    def call(self, args: Any, kwargs: Any) -> tf.Tensor:
        """The layer's output. The seeds get their new states."""
        structure = (args, kwargs)
        leaves = tf.nest.flatten(structure)
        tensors = [leaf for leaf in leaves if tf.is_tensor(leaf)]
        states = [tf.convert_to_tensor(seed.value) for seed in self._seeds]
        new_states: list[tf.Tensor] = []

        def arguments(tensors: Sequence[tf.Tensor]) -> Any:
            """The arguments of the call with these tensors in the place of its own."""
            remaining = iter(tensors)
            values = [next(remaining) if tf.is_tensor(leaf) else leaf for leaf in leaves]
            return tf.nest.pack_sequence_as(structure, values)

        @tf.custom_gradient
        def forward(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            tensors = inputs[: len(inputs) - len(self._weights)]
            weights = inputs[-len(self._weights) :]
            call_arguments = arguments(tensors)
            output, after = self._run(self._original_call, call_arguments, [*weights, *states])
            new_states.extend(after)

            def gradient(upstream: tf.Tensor) -> list[tf.Tensor | None]:
                return self._gradient(upstream, arguments, tensors, weights, states)

            return output, gradient

        output = forward(*tensors, *self._weight_values)
        for seed, state in zip(self._seeds, new_states, strict=True):
            seed.assign(state)
        return output

    def _run(
        self, call: Callable[..., Any], arguments: Any, values: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The output of a call and the seeds' new states, with these values of all variables."""
        args, kwargs = arguments
        variables = [*self._weights, *self._seeds]
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            output = call(*args, **kwargs)
        return output, [scope.get_current_value(seed) for seed in self._seeds]

    def _gradient(
        self,
        upstream: tf.Tensor,
        arguments: Callable[[Sequence[tf.Tensor]], Any],
        tensors: Sequence[tf.Tensor],
        weights: Sequence[tf.Tensor],
        states: Sequence[tf.Tensor],
    ) -> list[tf.Tensor | None]:
        """Gradients of the tensors and weights; None for those that are no floating-point numbers.

        See `_after` for the order in which TensorFlow and XLA must compute.
        """
        again = [_after([upstream], value) for value in tensors]
        states_again = [_after([upstream], value) for value in states]
        sources = [value for value in (*again, *weights) if value.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output, _ = self._run(self._layer, arguments(again), [*weights, *states_again])
        zero = tf.UnconnectedGradients.ZERO
        gradients = [
            tf.convert_to_tensor(gradient)
            for gradient in tape.gradient(output, sources, upstream, zero)
        ]
        of_weights = gradients[-len(weights) :]
        of_tensors = [_after(of_weights, gradient) for gradient in gradients[: -len(weights)]]
        remaining = iter([*of_tensors, *of_weights])
        return [
            next(remaining) if value.dtype.is_floating else None for value in (*tensors, *weights)
        ]


def _after(others: Sequence[tf.Tensor], value: tf.Tensor) -> tf.Tensor:
    """The value, made to depend on other tensors, so that it is computed after them.

    The second call of a layer must wait for the gradient from above, or TensorFlow and XLA merge it
    with the first call. The layer below must wait for the gradients of the layer's weights, or XLA
    computes these last and keeps the recomputed values of all layers for them. TensorFlow and XLA
    order operations only by the data that they read. So a number is added to the value: 0, or 1 if
    one of the other tensors begins with NaN, in which case the values are invalid anyway.
    """
    if value.dtype.is_bool:
        return value
    first_numbers = [tf.reshape(other, [-1])[0] for other in others]
    any_nan = tf.reduce_any([tf.math.is_nan(number) for number in first_numbers])
    return value + tf.cast(any_nan, value.dtype)
