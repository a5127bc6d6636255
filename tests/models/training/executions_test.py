"""Tests of how batches are grouped into executions, and of epochs."""

import pytest
import tensorflow as tf

from models.errors import ConfigError
from models.training.executions import executions
from models.training.run_state import RunState


def epochs_of(*lengths: int):  # type: ignore[no-untyped-def]
    """Epochs of one batch per length; a batch holds its epoch and its number, that many times."""

    def batches(epoch: int, done: int) -> tf.data.Dataset:
        def generate():  # type: ignore[no-untyped-def]
            for number, length in list(enumerate(lengths))[done:]:
                yield {"x": tf.fill([1, length], 10 * epoch + number)}

        signature = {"x": tf.TensorSpec([1, None], tf.int32)}
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    return batches


def numbers(state: RunState, steps_per_execution: int, *lengths: int) -> list[list[int]]:
    """The first number of each batch of each execution."""
    found = []
    for features in executions(epochs_of(*lengths), state, 4, steps_per_execution):
        assert features["x"].shape[1] == 1  # rows of a batch
        found.append(features["x"][:, 0, 0].numpy().tolist())
        state.advance(len(found[-1]))
    return found


def test_an_execution_does_not_cross_epochs() -> None:
    assert numbers(RunState(7), 2, 5, 5, 5) == [[0, 1], [2], [10, 11], [12], [20]]


def test_batches_of_an_execution_have_one_shape() -> None:
    assert numbers(RunState(5), 2, 5, 5, 3, 5, 5) == [[0, 1], [2], [3, 4]]
    assert numbers(RunState(5), 2, 5, 3, 3, 5, 5) == [[0], [1, 2], [3, 4]]


def test_a_resumed_run_continues_in_its_epoch() -> None:
    state = RunState(8)
    state.advance(3)
    state.start_next_epoch()
    state.advance(1)
    assert numbers(state, 1, 5, 5, 5) == [[11], [12], [20], [21]]


def test_a_run_that_stops_early_reads_no_further_batch() -> None:
    state = RunState(100, patience=1)
    found = []
    for features in executions(epochs_of(5, 5, 5), state, 4, 1):
        found.append(features["x"][0, 0, 0].numpy())
        state.advance(1)
        state.update_best(1.0)
    assert found == [0, 1]
    assert list(executions(epochs_of(5), state, 4, 1)) == []


def test_an_epoch_without_a_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="do not fill one batch of 4"):
        numbers(RunState(5), 2)
