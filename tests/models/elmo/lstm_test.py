"""Tests of the projected bidirectional LSTM."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.config import ElmoBackboneConfig
from models.elmo.lstm import ElmoLstm, State, zero_state
from models.elmo.recurrence import Run, Stream

CONFIG = ElmoBackboneConfig(
    num_layers=2, units=7, projection_size=5, cell_clip=2.0, projection_clip=1.0
)


def test_the_zero_state_has_a_row_for_each_layer() -> None:
    state = zero_state(CONFIG, 3)
    assert (state.cells.shape, state.outputs.shape) == ((2, 3, 7), (2, 3, 5))
    assert not np.any(state.cells)
    assert not np.any(state.outputs)


def test_another_recurrence_gets_both_directions_at_once() -> None:
    calls = []

    def constant(streams: list[Stream], *, cell_clip: float, output_clip: float) -> list[Run]:
        calls.append((len(streams), cell_clip, output_clip))
        return [
            Run(
                tf.ones([*stream.gates.shape[:2], 5]) * (place + 1),
                tf.ones([*stream.gates.shape[:2], 7]) * (place + 3),
            )
            for place, stream in enumerate(streams)
        ]

    lstm = ElmoLstm(CONFIG, constant)
    (forward, backward), states = lstm.run(
        ("forward", "backward"), [tf.zeros([2, 3, 5])] * 2, None, [zero_state(CONFIG, 2)] * 2
    )
    assert calls == [(2, 2.0, 1.0)] * 2
    assert np.unique(forward[0]) == 1
    assert np.unique(forward[1]) == 2  # with the layer below
    assert np.unique(backward[1]) == 4
    assert np.unique(states[1].cells) == 4
    assert np.unique(states[1].outputs) == 2  # without


def test_padded_steps_keep_the_state_and_return_zeros() -> None:
    lstm = ElmoLstm(CONFIG)
    rng = np.random.default_rng(0)
    tokens = tf.constant(rng.normal(size=(3, 4, 5)), tf.float32)
    before = State(
        tf.constant(rng.normal(size=(2, 3, 7)), tf.float32),
        tf.constant(rng.normal(size=(2, 3, 5)), tf.float32),
    )
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    (outputs,), (after,) = lstm.run(["forward"], [tokens], mask, [before])
    for layer in outputs:
        assert not np.any(layer[mask == 0])
        assert np.all(layer[mask == 1] != 0)
    for row, length in enumerate([4, 2]):
        (alone,), (state,) = lstm.run(
            ["forward"],
            [tokens[row : row + 1, :length]],
            None,
            [State(before.cells[:, row : row + 1], before.outputs[:, row : row + 1])],
        )
        np.testing.assert_allclose(outputs[-1][row, :length], alone[-1][0], atol=1e-6)
        np.testing.assert_allclose(after.cells[:, row], state.cells[:, 0], atol=1e-6)
        np.testing.assert_allclose(after.outputs[:, row], state.outputs[:, 0], atol=1e-6)
    np.testing.assert_array_equal(after.cells[:, 2], before.cells[:, 2])
    np.testing.assert_array_equal(after.outputs[:, 2], before.outputs[:, 2])


def test_gradients_reach_the_initial_state_and_none_flow_from_the_final_state() -> None:
    lstm, tokens = ElmoLstm(CONFIG), tf.ones([1, 2, 5])
    state = zero_state(CONFIG, 1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(state)
        (outputs,), (after,) = lstm.run(["backward"], [tokens], None, [state])
        whole = tf.reduce_sum(outputs[-1])
        carried = tf.reduce_sum(after.cells) + tf.reduce_sum(after.outputs)
    assert all(np.any(gradient) for gradient in tape.gradient(whole, state))
    assert tape.gradient(carried, list(state)) == [None, None]


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        ElmoLstm(CONFIG).layers_of("sideways")


def test_cells_keep_small_changes_if_layers_compute_in_bfloat16() -> None:
    """Windows that forget nothing and add 0.001 a step: in bfloat16 cells would stay at 0.25."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        lstm = ElmoLstm(CONFIG)
    finally:
        keras.config.set_dtype_policy("float32")
    for layer in lstm.forward_layers:
        for weight in (layer.kernel, layer.recurrent_kernel, layer.projection):
            weight.assign(tf.zeros(weight.shape))
        layer.bias.assign(np.repeat([20.0, 0.001, 20.0, 20.0], CONFIG.units))
    run = tf.function(lambda tokens, state: lstm.run(["forward"], [tokens], None, [state]))
    state = zero_state(CONFIG, 1)
    tokens = tf.zeros([1, 20, CONFIG.projection_size], tf.bfloat16)
    for _ in range(25):
        _, (state,) = run(tokens, state)
    assert {each.dtype for each in state} == {tf.float32}
    np.testing.assert_allclose(state.cells, np.full(state.cells.shape, 0.5), rtol=1e-3)
