"""The steps of a projected LSTM, with a hand-written gradient.

From the inputs' part x of the gates, and the cells c and outputs h of the previous step, a step
computes

    i, j, f, o = x + h R        c = clip(σ(f) c + σ(i) tanh(j))        h = clip(σ(o) tanh(c) P)

Automatic differentiation would add to the gradients of R and P in every step. Here the backward
steps compute only what depends on their order. Each of the two gradients is one product over all
steps, and the factors that the backward steps need are computed for all steps at once.

Products are computed in the type of R and P, which may be bfloat16; gates, cells, outputs and all
their sums are float32. Cells persist over a whole corpus: in bfloat16 they would lose every change
smaller than 1/256 of their value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

LONGEST_UNROLLED = 32
"""The largest number of steps for which a loop is unrolled: an unrolled step has no overhead, and
the steps of two streams overlap."""


class Stream(NamedTuple):
    """An LSTM layer over one sequence of inputs, in one direction."""

    gates: tf.Tensor
    """The inputs' part of the gates i, j, f, o, with their bias: float32 `[time, batch, 4 ·
    units]`."""
    recurrent_kernel: tf.Tensor
    """R, `[projection, 4 · units]`, in the type that products are computed in."""
    projection: tf.Tensor
    """P, `[units, projection]`, in the same type."""
    cells: tf.Tensor
    """Cells before the first step, float32 `[batch, units]`."""
    outputs: tf.Tensor
    """Outputs before the first step, float32 `[batch, projection]`."""


class Run(NamedTuple):
    """The results of a stream, for every step."""

    outputs: tf.Tensor
    """Float32 `[time, batch, projection]`."""
    cells: tf.Tensor
    """Float32 `[time, batch, units]`; no gradient flows back through them."""


class Recurrence(Protocol):
    """A function that runs the steps of streams of equal length at once."""

    def __call__(
        self, streams: Sequence[Stream], *, cell_clip: float, output_clip: float
    ) -> list[Run]:
        """Runs each stream from its first step to its last."""


def recur(streams: Sequence[Stream], *, cell_clip: float, output_clip: float) -> list[Run]:
    """Runs the steps of all streams in one loop, and so the backward steps; see `Recurrence`."""
    count = len(streams)

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Callable[..., list[tf.Tensor]]]:
        given = [Stream(*flat[at : at + 5]) for at in range(0, len(flat), 5)]
        kept = _forward(given, cell_clip, output_clip)

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            found = _backward(given, kept, upstream[:count], cell_clip, output_clip)
            return [each for stream in found for each in stream]

        return (*(each.outputs for each in kept), *(each.cells for each in kept)), gradient

    found = run(*(tf.convert_to_tensor(each) for stream in streams for each in stream))
    return [
        Run(outputs, tf.stop_gradient(cells))
        for outputs, cells in zip(found[:count], found[count:], strict=True)
    ]


class _Kept(NamedTuple):
    """Activations of a stream that the backward steps need, each `[time, batch, …]`."""

    i: tf.Tensor
    j: tf.Tensor
    f: tf.Tensor
    o: tf.Tensor
    cells: tf.Tensor
    outputs: tf.Tensor


def _forward(streams: Sequence[Stream], cell_clip: float, output_clip: float) -> list[_Kept]:
    def step(carried: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        after, kept = [], []
        for stream, (cells, outputs), (gates,) in zip(streams, carried, now, strict=True):
            i, j, f, o = tf.split(gates + product(outputs, stream.recurrent_kernel), 4, axis=-1)
            i, j, f, o = tf.sigmoid(i), tf.tanh(j), tf.sigmoid(f), tf.sigmoid(o)
            cells = tf.clip_by_value(f * cells + i * j, -cell_clip, cell_clip)
            outputs = product(o * tf.tanh(cells), stream.projection)
            outputs = tf.clip_by_value(outputs, -output_clip, output_clip)
            after.append((cells, outputs))
            kept.append(_Kept(i, j, f, o, cells, outputs))
        return after, kept

    start = [(stream.cells, stream.outputs) for stream in streams]
    like = [_Kept(cells, cells, cells, cells, cells, outputs) for cells, outputs in start]
    _, kept = scan(step, start, [(stream.gates,) for stream in streams], like)
    return kept


def _backward(
    streams: Sequence[Stream],
    kept: Sequence[_Kept],
    upstream: Sequence[tf.Tensor],
    cell_clip: float,
    output_clip: float,
) -> list[Stream]:
    """The gradients of streams.

    Args:
        streams: the streams.
        kept: the results of `_forward`.
        upstream: for each stream, the gradient of its outputs, `[time, batch, projection]`.
        cell_clip: largest absolute value of cells.
        output_clip: largest absolute value of outputs.
    """
    factors = []
    for stream, (i, j, f, o, cells, outputs), given in zip(streams, kept, upstream, strict=True):
        before = tf.concat([stream.cells[tf.newaxis], cells[:-1]], axis=0)
        bent = tf.tanh(cells)
        free = tf.cast(tf.abs(cells) < cell_clip, cells.dtype)
        to_gates = tf.concat([j * i * (1 - i), i * (1 - j * j), before * f * (1 - f)], axis=-1)
        factors.append(
            (
                given,
                tf.cast(tf.abs(outputs) < output_clip, outputs.dtype),
                bent * o * (1 - o),
                o * (1 - bent * bent) * free,
                free,
                to_gates,
                f,
            )
        )

    def step(carried: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        after, found = [], []
        for stream, (cells, outputs), (given, unclipped, to_o, to_cells, free, to_gates, f) in zip(
            streams, carried, now, strict=True
        ):
            projected = (given + outputs) * unclipped
            hidden = product(projected, stream.projection, transpose_b=True)
            cells = hidden * to_cells + cells * free
            gates = tf.concat(
                [tf.concat([cells, cells, cells], -1) * to_gates, hidden * to_o], axis=-1
            )
            after.append((cells * f, product(gates, stream.recurrent_kernel, transpose_b=True)))
            found.append((gates, projected))
        return after, found

    start = [(tf.zeros_like(stream.cells), tf.zeros_like(stream.outputs)) for stream in streams]
    like = [(stream.gates[0], stream.outputs) for stream in streams]
    first, found = scan(step, start, factors, like, backwards=True)
    gradients = []
    for stream, each, (cells, outputs), (gates, projected) in zip(
        streams, kept, first, found, strict=True
    ):
        before = tf.concat([stream.outputs[tf.newaxis], each.outputs[:-1]], axis=0)
        recurrent_kernel = _over_all_steps(before, gates, stream.recurrent_kernel.dtype)
        projection = _over_all_steps(
            each.o * tf.tanh(each.cells), projected, stream.projection.dtype
        )
        gradients.append(Stream(gates, recurrent_kernel, projection, cells, outputs))
    return gradients


def product(left: tf.Tensor, kernel: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """The product of `[…, m]` and a kernel, computed in the kernel's type, returned in `left`'s."""
    found = tf.matmul(tf.cast(left, kernel.dtype), kernel, transpose_b=transpose_b)
    return tf.cast(found, left.dtype)


def _over_all_steps(left: tf.Tensor, right: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Σ leftᵀ right over time and batch: `[time, batch, m]`, `[time, batch, n]` → `[m, n]`."""
    flat = [tf.cast(tf.reshape(each, [-1, each.shape[-1]]), dtype) for each in (left, right)]
    return tf.matmul(*flat, transpose_a=True)


def scan(
    step: Any, start: Any, sequences: Any, like: Any, *, backwards: bool = False
) -> tuple[Any, Any]:
    """Calls `step` on each slice of sequences, in order.

    Args:
        step: (carried, slices) → (carried, results), all nested tensors.
        start: the value carried into the first step.
        sequences: nested `[time, …]`.
        like: nested tensors of the shapes and types of the results of one step.
        backwards: from the last slice to the first.

    Returns:
        The value carried out of the last step, and the results, `[time, …]` in the order of the
        slices.
    """
    time = tf.nest.flatten(sequences)[0].shape[0]
    if time and (time <= LONGEST_UNROLLED or tf.executing_eagerly()):
        return _unrolled(step, start, sequences, time, backwards)
    return _looped(step, start, sequences, like, backwards)


def _unrolled(step: Any, start: Any, sequences: Any, time: int, backwards: bool) -> tuple[Any, Any]:
    slices = [tf.unstack(each) for each in tf.nest.flatten(sequences)]
    carried, results = start, []
    for now in reversed(range(time)) if backwards else range(time):
        given = tf.nest.pack_sequence_as(sequences, [each[now] for each in slices])
        carried, result = step(carried, given)
        results.append(result)
    if backwards:
        results.reverse()
    return carried, tf.nest.map_structure(lambda *each: tf.stack(each), *results)


def _looped(step: Any, start: Any, sequences: Any, like: Any, backwards: bool) -> tuple[Any, Any]:
    flat, kinds = tf.nest.flatten(sequences), tf.nest.flatten(like)
    time = tf.shape(flat[0])[0]

    def one(count: tf.Tensor, carried: Any, lists: list[tf.Tensor]) -> tuple[Any, Any, Any]:
        now = time - 1 - count if backwards else count
        given = tf.nest.pack_sequence_as(sequences, [each[now] for each in flat])
        carried, result = step(carried, given)
        results = tf.nest.flatten(result)
        return (
            count + 1,
            carried,
            [
                tf.raw_ops.TensorListSetItem(input_handle=each, index=now, item=item)
                for each, item in zip(lists, results, strict=True)
            ],
        )

    # The operations behind TensorArray, which does not know the shape of zero steps of a batch of
    # unknown size.
    lists = [
        tf.raw_ops.TensorListReserve(
            element_shape=tf.shape(each), num_elements=time, element_dtype=each.dtype
        )
        for each in kinds
    ]
    _, carried, lists = tf.while_loop(lambda count, *_: count < time, one, (0, start, lists))
    stacked = [
        tf.raw_ops.TensorListStack(
            input_handle=handle, element_shape=tf.shape(each), element_dtype=each.dtype
        )
        for handle, each in zip(lists, kinds, strict=True)
    ]
    for each, kind in zip(stacked, kinds, strict=True):
        each.set_shape([flat[0].shape[0], *kind.shape])
    return carried, tf.nest.pack_sequence_as(like, stacked)
