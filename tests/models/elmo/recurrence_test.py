"""Tests of the LSTM's recurrence and its gradient, against the formula."""

import numpy as np
import pytest
import tensorflow as tf

from models.elmo import recurrence
from models.elmo.recurrence import Run, Stream, recur

CELL_CLIP, OUTPUT_CLIP = 0.7, 0.4  # so small that values of every step are clipped


def streams(time: int, batch: int = 3, *, units: int = 5, width: int = 4) -> list[Stream]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> tf.Tensor:
        return tf.constant(rng.normal(size=shape), tf.float64)

    return [
        Stream(
            draw(time, batch, 4 * units),
            draw(width, 4 * units),
            draw(units, width),
            draw(batch, units) / 2,
            draw(batch, width) / 4,
        )
        for _ in range(2)
    ]


def step_by_step(inputs: list[Stream]) -> list[Run]:
    """The formula, differentiated by TensorFlow."""
    runs = []
    for gates, recurrent_kernel, projection, c, h in inputs:
        found = []
        for x in tf.unstack(gates):
            i, j, f, o = tf.split(x + h @ recurrent_kernel, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(j)
            c = tf.clip_by_value(c, -CELL_CLIP, CELL_CLIP)
            h = (tf.sigmoid(o) * tf.tanh(c)) @ projection
            h = tf.clip_by_value(h, -OUTPUT_CLIP, OUTPUT_CLIP)
            found.append((h, c))
        runs.append(Run(*map(tf.stack, zip(*found, strict=True))))
    return runs


def by_recur(inputs: list[Stream]) -> list[Run]:
    return recur(inputs, cell_clip=CELL_CLIP, output_clip=OUTPUT_CLIP)


def free(function):
    """The function, traced with unknown sizes except those of the weights."""
    kinds = [
        Stream(
            *(tf.TensorSpec([None] * (len(x.shape) - 1) + x.shape[-1:], x.dtype) for x in stream)
        )
        for stream in streams(1)
    ]
    kinds = [
        kind._replace(
            recurrent_kernel=tf.TensorSpec(stream.recurrent_kernel.shape, tf.float64),
            projection=tf.TensorSpec(stream.projection.shape, tf.float64),
        )
        for kind, stream in zip(kinds, streams(1), strict=True)
    ]
    return tf.function(function, input_signature=[kinds])


MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "XLA": lambda function: tf.function(function, jit_compile=True),
    "free": free,
}


@pytest.fixture(params=MODES)
def mode(request):
    return MODES[request.param]


@pytest.fixture(params=["unrolled", "looped"])
def unrolled(request, monkeypatch):
    if request.param == "looped":
        monkeypatch.setattr(recurrence, "LONGEST_UNROLLED", 0)


@pytest.mark.usefixtures("unrolled")
def test_steps_equal_the_formula(mode) -> None:
    inputs = streams(time=6)
    expected, found = step_by_step(inputs), mode(by_recur)(inputs)
    assert np.mean(np.abs(expected[0].cells) == CELL_CLIP) > 0.1
    assert np.mean(np.abs(expected[0].outputs) == OUTPUT_CLIP) > 0.1
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other.outputs, one.outputs, atol=1e-12)
        np.testing.assert_allclose(other.cells, one.cells, atol=1e-12)


@pytest.mark.usefixtures("unrolled")
def test_gradients_equal_those_of_automatic_differentiation(mode) -> None:
    inputs = streams(time=6)
    weights = tf.constant(np.random.default_rng(1).normal(size=[*inputs[0].gates.shape[:2], 4]))

    def gradients(function):
        def loss_and_gradients(inputs):
            flat = tf.nest.flatten(inputs)
            with tf.GradientTape() as tape:
                tape.watch(flat)
                runs = function(inputs)
                loss = sum(tf.reduce_sum(tf.sin(run.outputs) * weights) for run in runs)
            return tape.gradient(loss, flat)

        return loss_and_gradients

    expected, found = gradients(step_by_step)(inputs), mode(gradients(by_recur))(inputs)
    assert len(expected) == len(found) == 10
    for one, other in zip(expected, found, strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(other, one, atol=1e-10)


def test_no_gradient_flows_through_the_cells() -> None:
    inputs = streams(time=3)
    with tf.GradientTape() as tape:
        tape.watch(inputs[0].gates)
        value = tf.reduce_sum(by_recur(inputs)[0].cells)
    assert tape.gradient(value, inputs[0].gates) is None


@pytest.mark.parametrize("name", ["eager", "graph", "free"])
def test_without_steps_there_are_no_outputs(name: str) -> None:
    for run in MODES[name](by_recur)(streams(time=0)):
        assert run.outputs.shape == (0, 3, 4)
        assert run.cells.shape == (0, 3, 5)


def test_long_sequences_are_not_unrolled_in_a_graph() -> None:
    inputs = streams(time=recurrence.LONGEST_UNROLLED + 1)
    graph = tf.function(by_recur).get_concrete_function(inputs).graph
    assert any("While" in node.op for node in graph.as_graph_def().node)
    found = tf.function(by_recur)(inputs)[1].outputs
    np.testing.assert_allclose(found, step_by_step(inputs)[1].outputs, atol=1e-12)
