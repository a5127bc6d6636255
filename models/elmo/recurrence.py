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
    """Runs the steps of all streams in one loop, and the backward steps too; see `Recurrence`."""
    count, fields = len(streams), len(Stream._fields)

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Callable[..., list[tf.Tensor]]]:
        inputs = [Stream(*flat[at : at + fields]) for at in range(0, len(flat), fields)]
        kept = _forward(inputs, cell_clip, output_clip)

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            gradients = _backward(inputs, kept, upstream[:count], cell_clip, output_clip)
            return [each for stream in gradients for each in stream]

        return (*(each.outputs for each in kept), *(each.cells for each in kept)), gradient

    results = run(*(tf.convert_to_tensor(each) for stream in streams for each in stream))
    return [
        Run(outputs, tf.stop_gradient(cells))
        for outputs, cells in zip(results[:count], results[count:], strict=True)
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
    factors = [
        _factors(stream, each, gradient, cell_clip, output_clip)
        for stream, each, gradient in zip(streams, kept, upstream, strict=True)
    ]

    def step(carried: list[Any], now: list[_Factors]) -> tuple[list[Any], list[Any]]:
        after, results = [], []
        for stream, (cells, outputs), factor in zip(streams, carried, now, strict=True):
            projected = (factor.upstream + outputs) * factor.outputs_unclipped
            hidden = product(projected, stream.projection, transpose_b=True)
            cells = hidden * factor.to_cells + cells * factor.cells_unclipped
            ijf = tf.concat([cells, cells, cells], -1) * factor.to_ijf
            gates = tf.concat([ijf, hidden * factor.to_o], axis=-1)
            recurrent = product(gates, stream.recurrent_kernel, transpose_b=True)
            after.append((cells * factor.f, recurrent))
            results.append((gates, projected))
        return after, results

    start = [(tf.zeros_like(stream.cells), tf.zeros_like(stream.outputs)) for stream in streams]
    like = [(stream.gates[0], stream.outputs) for stream in streams]
    first, results = scan(step, start, factors, like, backwards=True)
    return [
        _gradients(stream, each, *state, *result)
        for stream, each, state, result in zip(streams, kept, first, results, strict=True)
    ]


class _Factors(NamedTuple):
    """What the backward steps need, each `[time, batch, …]`."""

    upstream: tf.Tensor
    """The gradient of the outputs."""
    outputs_unclipped: tf.Tensor
    """1 where outputs were not clipped, else 0."""
    to_o: tf.Tensor
    """The derivative of hidden values, σ(o) tanh(c), by the gate o."""
    to_cells: tf.Tensor
    """The derivative of hidden values by unclipped cells."""
    cells_unclipped: tf.Tensor
    """1 where cells were not clipped, else 0."""
    to_ijf: tf.Tensor
    """The derivative of cells by the gates i, j and f."""
    f: tf.Tensor
    """The derivative of cells by the previous step's cells."""


def _factors(
    stream: Stream, kept: _Kept, upstream: tf.Tensor, cell_clip: float, output_clip: float
) -> _Factors:
    """The factors of all backward steps of a stream; see `_backward` for the arguments."""
    i, j, f, o, cells, outputs = kept
    before = tf.concat([stream.cells[tf.newaxis], cells[:-1]], axis=0)
    tanh_cells = tf.tanh(cells)
    unclipped = tf.cast(tf.abs(cells) < cell_clip, cells.dtype)
    to_ijf = tf.concat([j * i * (1 - i), i * (1 - j * j), before * f * (1 - f)], axis=-1)
    return _Factors(
        upstream,
        tf.cast(tf.abs(outputs) < output_clip, outputs.dtype),
        tanh_cells * o * (1 - o),
        o * (1 - tanh_cells * tanh_cells) * unclipped,
        unclipped,
        to_ijf,
        f,
    )


def _gradients(
    stream: Stream,
    kept: _Kept,
    cells: tf.Tensor,
    outputs: tf.Tensor,
    gates: tf.Tensor,
    projected: tf.Tensor,
) -> Stream:
    """The gradients of a stream after all backward steps.

    Args:
        stream: the stream.
        kept: its activations.
        cells: gradient of the cells before the first step, `[batch, units]`.
        outputs: gradient of the outputs before the first step, `[batch, projection]`.
        gates: gradients of the gates, `[time, batch, 4 · units]`.
        projected: gradients of the outputs before clipping, `[time, batch, projection]`.
    """
    before = tf.concat([stream.outputs[tf.newaxis], kept.outputs[:-1]], axis=0)
    recurrent_kernel = _over_all_steps(before, gates, stream.recurrent_kernel.dtype)
    hidden = kept.o * tf.tanh(kept.cells)
    projection = _over_all_steps(hidden, projected, stream.projection.dtype)
    return Stream(gates, recurrent_kernel, projection, cells, outputs)


def product(left: tf.Tensor, kernel: tf.Tensor, *, transpose_b: bool = False) -> tf.Tensor:
    """The product of `[…, m]` and a kernel, computed in the kernel's type, returned in `left`'s."""
    result = tf.matmul(tf.cast(left, kernel.dtype), kernel, transpose_b=transpose_b)
    return tf.cast(result, left.dtype)


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
        backwards: whether to go from the last slice to the first.

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
        slices_now = tf.nest.pack_sequence_as(sequences, [each[now] for each in slices])
        carried, result = step(carried, slices_now)
        results.append(result)
    if backwards:
        results.reverse()
    return carried, tf.nest.map_structure(lambda *each: tf.stack(each), *results)


def _looped(step: Any, start: Any, sequences: Any, like: Any, backwards: bool) -> tuple[Any, Any]:
    flat, kinds = tf.nest.flatten(sequences), tf.nest.flatten(like)
    time = tf.shape(flat[0])[0]

    def body(count: tf.Tensor, carried: Any, lists: list[tf.Tensor]) -> tuple[Any, Any, Any]:
        now = time - 1 - count if backwards else count
        slices_now = tf.nest.pack_sequence_as(sequences, [each[now] for each in flat])
        carried, result = step(carried, slices_now)
        results = tf.nest.flatten(result)
        return (
            count + 1,
            carried,
            [
                tf.raw_ops.TensorListSetItem(input_handle=each, index=now, item=item)
                for each, item in zip(lists, results, strict=True)
            ],
        )

    # These are the operations behind TensorArray. TensorArray itself cannot stack zero steps of a
    # batch of unknown size, because it does not know their shape.
    lists = [
        tf.raw_ops.TensorListReserve(
            element_shape=tf.shape(each), num_elements=time, element_dtype=each.dtype
        )
        for each in kinds
    ]
    _, carried, lists = tf.while_loop(lambda count, *_: count < time, body, (0, start, lists))
    stacked = [
        tf.raw_ops.TensorListStack(
            input_handle=handle, element_shape=tf.shape(each), element_dtype=each.dtype
        )
        for handle, each in zip(lists, kinds, strict=True)
    ]
    for each, kind in zip(stacked, kinds, strict=True):
        each.set_shape([flat[0].shape[0], *kind.shape])
    return carried, tf.nest.pack_sequence_as(like, stacked)
