"""The time of a training step of ELMo's LSTMs, by implementation, and of `keras.layers.LSTM`.

    python -m benchmarks.elmo_lstm_benchmark [--only TEXT] [--batch 64] [--time 20]

Two layers of 1024 cells projected to 128, in both directions, without token layer and softmax. A
step computes values and the gradients of all weights and inputs. Prints the seconds of the first
call, which traces and compiles, and of the fastest of some steps. The results of each
implementation are compared with the first one; a difference ends the program. Freed memory is kept
as in training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.cores import print_processor
from models.elmo import recurrence
from models.elmo.config import ElmoBackboneConfig
from models.elmo.lstm import DIRECTIONS, ElmoLstm, zero_state
from models.elmo.recurrence import Recurrence, Run, Stream, recur
from models.memory import keep_freed_memory

Step = Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]


def unrolled(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """All steps written out in the graph."""
    recurrence.LONGEST_UNROLLED = 1_000
    return recur(streams, **clips)


def looped(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """One loop over the steps of both directions."""
    recurrence.LONGEST_UNROLLED = 0
    return recur(streams, **clips)


def looped_separately(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """A loop for each direction."""
    return [run for stream in streams for run in looped([stream], **clips)]


def stacked(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """Both directions in each operation, by products of stacked matrices."""
    gates, *others = (list(parts) for parts in zip(*streams, strict=True))
    both = Stream(tf.stack(gates, axis=1), *map(tf.stack, others))
    (run,) = unrolled([both], **clips)
    return [Run(run.outputs[:, index], run.cells[:, index]) for index in range(len(streams))]


def _differentiated(streams: Sequence[Stream], cell_clip: float, output_clip: float) -> list[Run]:
    """The same steps with TensorFlow's automatic gradient."""
    forward = recurrence._forward(streams, cell_clip, output_clip)
    return [Run(each.outputs, each.cells) for each in forward]


def differentiated_unrolled(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """All steps written out, with TensorFlow's automatic gradient."""
    recurrence.LONGEST_UNROLLED = 1_000
    return _differentiated(streams, **clips)


def differentiated_looped(streams: Sequence[Stream], **clips: float) -> list[Run]:
    """A loop over the steps, with TensorFlow's automatic gradient."""
    recurrence.LONGEST_UNROLLED = 0
    return _differentiated(streams, **clips)


class _Cell(keras.layers.Layer):
    """One step for `keras.layers.RNN`, with the weights of a stream."""

    def __init__(self, stream: Stream, cell_clip: float, output_clip: float) -> None:
        super().__init__()
        self._weights_of = (stream.recurrent_kernel, stream.projection)
        self._clips = (cell_clip, output_clip)
        self.state_size = [stream.cells.shape[-1], stream.outputs.shape[-1]]
        self.output_size = sum(self.state_size)

    def call(self, gates: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        (cells, outputs), (recurrent, projection) = states, self._weights_of
        i, j, f, o = tf.split(gates + outputs @ recurrent, 4, axis=-1)
        cells = tf.sigmoid(f) * cells + tf.sigmoid(i) * tf.tanh(j)
        cells = tf.clip_by_value(cells, -self._clips[0], self._clips[0])
        outputs = (tf.sigmoid(o) * tf.tanh(cells)) @ projection
        outputs = tf.clip_by_value(outputs, -self._clips[1], self._clips[1])
        return tf.concat([cells, outputs], axis=-1), [cells, outputs]


def keras_rnn(streams: Sequence[Stream], *, cell_clip: float, output_clip: float) -> list[Run]:
    """`keras.layers.RNN` over a cell of the same formulas."""
    runs = []
    for stream in streams:
        rnn = keras.layers.RNN(_Cell(stream, cell_clip, output_clip), return_sequences=True)
        states = rnn(
            tf.transpose(stream.gates, [1, 0, 2]), initial_state=[stream.cells, stream.outputs]
        )
        cells, outputs = tf.split(
            tf.transpose(states, [1, 0, 2]), [stream.cells.shape[-1], -1], axis=-1
        )
        runs.append(Run(outputs, cells))
    return runs


IMPLEMENTATIONS: dict[str, Recurrence] = {
    "written-out gradient, unrolled": unrolled,
    "written-out gradient, loop": looped,
    "written-out gradient, a loop each": looped_separately,
    "written-out gradient, stacked, unrolled": stacked,
    "differentiated, unrolled": differentiated_unrolled,
    "differentiated, loop": differentiated_looped,
    "keras.layers.RNN over a cell": keras_rnn,
}


def main() -> None:
    options = _arguments()
    print_processor()
    keep_freed_memory()
    tf.get_logger().setLevel("ERROR")  # it would warn about repeated tracing
    config = ElmoBackboneConfig(
        units=options.units, projection_size=options.projection, dropout=0.0
    )
    recurrence._over_all_steps = _over_all_steps
    shape = (2, options.batch, options.time, options.projection)
    words = options.batch * options.time
    tokens = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    steps: dict[str, Callable[[], Step]] = {
        **{name: lambda each=each: _elmo(config, each) for name, each in IMPLEMENTATIONS.items()},
        "keras.layers.LSTM, no projection": lambda: _keras(config),
    }
    print(f"{'':50s} {'first s':>9s} {'step s':>9s} {'words/s':>9s}")
    expected: list[np.ndarray] | None = None
    for name, build in steps.items():
        for compiled in (False, True):
            label = name + (", XLA" if compiled else "")
            if options.only not in label:
                continue
            try:
                first, seconds, results = _measure(build(), tokens, compiled, options.repeats)
            except (tf.errors.OpError, ValueError, NotImplementedError) as error:
                print(f"{label:50s} {type(error).__name__}: {str(error).splitlines()[0]:.60}")
                continue
            print(f"{label:50s} {first:9.1f} {seconds:9.3f} {words / seconds:9.0f}", flush=True)
            if name in IMPLEMENTATIONS:
                expected = expected or results
                for result, reference in zip(results, expected, strict=True):
                    np.testing.assert_allclose(result, reference, rtol=1e-3, atol=1e-3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="implementations whose names contain this")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--time", type=int, default=20)
    parser.add_argument("--units", type=int, default=1_024)
    parser.add_argument("--projection", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5, help="steps, of which the fastest counts")
    return parser.parse_args()


def _elmo(config: ElmoBackboneConfig, implementation: Recurrence) -> Step:
    """A step of this project's LSTMs with an implementation of the recurrence."""
    keras.utils.set_random_seed(0)
    lstm = ElmoLstm(config, implementation)

    def step(tokens: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        states = [zero_state(config, tokens.shape[1])] * 2
        outputs, _ = lstm.run(DIRECTIONS, tf.unstack(tokens), None, states, training=True)
        return tf.stack([layers[-1] for layers in outputs]), lstm.trainable_variables

    return step


def _keras(config: ElmoBackboneConfig) -> Step:
    """A step of `keras.layers.LSTM`, which has no projection."""
    keras.utils.set_random_seed(0)
    directions = [
        [
            keras.layers.LSTM(config.projection_size, return_sequences=True)
            for _ in range(config.num_layers)
        ]
        for _ in DIRECTIONS
    ]

    def step(tokens: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        outputs = []
        for layers, hidden in zip(directions, tf.unstack(tokens), strict=True):
            for layer in layers:
                hidden = layer(hidden)
            outputs.append(hidden)
        weights = [
            w for layers in directions for layer in layers for w in layer.trainable_variables
        ]
        return tf.stack(outputs), weights

    return step


def _measure(
    step: Step, tokens: tf.Tensor, compiled: bool, repeats: int
) -> tuple[float, float, list[np.ndarray]]:
    """Seconds of the first call and of the fastest, and the values and gradients."""
    step(tokens)  # eagerly, so that Keras creates its weights outside the graph

    @tf.function(jit_compile=compiled)
    def train(tokens: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            outputs, weights = step(tokens)
            loss = tf.reduce_sum(tf.square(outputs))
        return [outputs, *tape.gradient(loss, [tokens, *(w.value for w in weights)])]

    seconds = []
    results: list[Any] = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        results = [each.numpy() for each in train(tokens)]
        seconds.append(time.perf_counter() - start)
    return seconds[0], min(seconds[1:]), results


def _over_all_steps(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Like the function in recurrence.py; accepts also the stacked directions."""
    if left.shape.rank == 4:
        return tf.einsum("tdbm,tdbn->dmn", left, right)
    flat = [tf.reshape(each, [-1, each.shape[-1]]) for each in (left, right)]
    return tf.matmul(*flat, transpose_a=True)


if __name__ == "__main__":
    main()
