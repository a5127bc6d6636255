"""Tests of the numbers of a run: steps, epochs, and the best evaluation."""

import math

from models.training.run_state import RunState


def test_a_fresh_state() -> None:
    state = RunState(steps=10)
    assert [int(number) for number in (state.step, state.epoch, state.batch)] == [0, 0, 0]
    assert math.isnan(float(state.first_loss))
    assert (int(state.best_step), float(state.best_loss)) == (0, math.inf)
    assert not state.finished


def test_steps_are_batches_of_the_epoch() -> None:
    state = RunState(steps=10)
    assert state.advance(3) == 3
    state.start_next_epoch()
    assert state.advance(2) == 5
    assert [int(number) for number in (state.step, state.epoch, state.batch)] == [5, 1, 2]
    assert not state.finished
    state.advance(5)
    assert state.finished


def test_only_a_lower_loss_is_better() -> None:
    state = RunState(steps=10)
    best = []
    for loss in (3.0, 3.0, 2.0, math.nan):
        state.advance(1)
        best.append(state.update_best(loss))
    assert best == [True, False, True, False]
    assert (int(state.best_step), float(state.best_loss)) == (3, 2.0)
    assert int(state.evaluations_since_best) == 1


def test_early_stopping_needs_as_many_evaluations_as_its_patience() -> None:
    state, endless = RunState(steps=10, patience=2), RunState(steps=10, patience=0)
    finished = []
    for loss in (3.0, 4.0, 2.0, 2.0, 5.0):
        state.update_best(loss)
        endless.update_best(loss)
        finished.append((state.finished, endless.finished))
    assert finished == [(False, False)] * 4 + [(True, False)]


def test_the_order_of_the_numbers_never_changes() -> None:
    state = RunState(steps=10)
    assert state.numbers == [
        state.step, state.epoch, state.batch, state.first_loss, state.best_step, state.best_loss,
        state.evaluations_since_best,
    ]  # fmt: skip
