"""Layers whose inner values are computed a second time for the gradient, instead of being kept.

Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost". Keras's own `RematScope` draws
other dropout the second time, whose gradient is not that of the loss.
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
    """In the block, what a call of one of these layers computes inside is not kept.

    For the gradient the layer is called again with the same inputs and the same states of its
    seeds, which give the same dropout. The block is inside of the gradient's tape and of a
    `keras.StatelessScope`, and ends before the gradient is taken.

    Args:
        layers: each of which gives one tensor and changes nothing but its seeds. None of them is
            part of another.
    """
    calls = [_rematerialized(layer) for layer in layers]
    try:
        for layer, call in zip(layers, calls, strict=True):
            layer.call = call
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _rematerialized(layer: keras.layers.Layer) -> Callable[..., tf.Tensor]:
    """The function that replaces the layer's `call` in the block."""
    first_call = layer.call
    weights, seeds = layer.trainable_variables, layer.non_trainable_variables
    # Read here: inside of a call Keras gives weights in the type that the layer computes in.
    weights_read = [tf.convert_to_tensor(weight.value) for weight in weights]

    def run(
        call: Callable[..., Any], arguments: Any, values: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """What a call gives, with these values of weights and seeds, and the seeds' values then."""
        args, kwargs = arguments
        with keras.StatelessScope(list(zip([*weights, *seeds], values, strict=True))) as scope:
            output = call(*args, **kwargs)
        return output, [scope.get_current_value(seed) for seed in seeds]

    @functools.wraps(first_call)
    def call(*args: Any, **kwargs: Any) -> tf.Tensor:
        structure = (args, kwargs)
        given = tf.nest.flatten(structure)
        tensors = [value for value in given if tf.is_tensor(value)]
        states = [tf.convert_to_tensor(seed.value) for seed in seeds]
        after: list[tf.Tensor] = []

        def arguments(tensors: Sequence[tf.Tensor]) -> Any:
            left = iter(tensors)
            values = [next(left) if tf.is_tensor(value) else value for value in given]
            return tf.nest.pack_sequence_as(structure, values)

        @tf.custom_gradient
        def once(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
            tensors, numbers = inputs[: len(inputs) - len(weights)], inputs[-len(weights) :]
            output, new_states = run(first_call, arguments(tensors), [*numbers, *states])
            after.extend(new_states)

            def gradient(upstream: tf.Tensor) -> list[tf.Tensor | None]:
                again = [_later(value, [upstream]) for value in tensors]
                drawn = [_later(value, [upstream]) for value in states]
                wanted = [value for value in (*again, *numbers) if value.dtype.is_floating]
                with tf.GradientTape() as tape:
                    tape.watch(wanted)
                    output, _ = run(layer, arguments(again), [*numbers, *drawn])
                zero = tf.UnconnectedGradients.ZERO
                found = [
                    tf.convert_to_tensor(each)
                    for each in tape.gradient(output, wanted, upstream, zero)
                ]
                own = found[-len(weights) :]
                left = iter([*(_later(each, own) for each in found[: -len(weights)]), *own])
                return [next(left) if value.dtype.is_floating else None for value in inputs]

            return output, gradient

        output = once(*tensors, *weights_read)
        for seed, state in zip(seeds, after, strict=True):
            seed.assign(state)
        return output

    return call


def _later(value: tf.Tensor, others: Sequence[tf.Tensor]) -> tf.Tensor:
    """The value, which is not there before some gradients are.

    A layer's second call has to wait for the gradient from above, or else TensorFlow and XLA merge
    it with the first one; and the layer below has to wait for the gradients of the layer's weights,
    or else XLA computes these last and keeps for them what all layers have computed again. Both
    know no order but that of the data, so the value is added to: 0, or more if a gradient is not a
    number, when the values mean nothing any more.
    """
    if value.dtype.is_bool:
        return value
    ends = [tf.reshape(other, [-1])[0] for other in others]
    return value + tf.cast(tf.reduce_any([tf.math.is_nan(end) for end in ends]), value.dtype)
