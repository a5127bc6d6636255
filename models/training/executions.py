"""Groups the batches of a run into executions: the steps that run without returning to Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tensorflow as tf

from models.errors import ConfigError
from models.training.batches import Batches
from models.training.devices import Features
from models.training.run_state import RunState


def executions(
    batches: Batches, state: RunState, batch_size: int, steps_per_execution: int
) -> Iterator[Features]:
    """Yields the features of one execution after the other, until the run is finished.

    Args:
        batches: see `models.training.batches`.
        state: where to continue. The caller advances it after every execution.
        batch_size: examples of a batch, for the error.
        steps_per_execution: batches of an execution; fewer where their shapes change or the epoch
            ends.

    Yields:
        Features `[steps, rows, *shape]`.

    Raises:
        ConfigError: an epoch has no whole batch.
    """
    while not state.finished:
        remaining = batches(int(state.epoch), int(state.batch)).take(state.steps - int(state.step))
        for features in _stacked(remaining, steps_per_execution):
            yield features
            if state.finished:
                return
        if int(state.batch) == 0:
            raise ConfigError(
                f"the examples do not fill one batch of {batch_size}",
                where="training.batch_size",
                remedy="provide more text, or lower training.batch_size",
            )
        state.start_next_epoch()


def _stacked(batches: tf.data.Dataset, steps: int) -> Iterator[Features]:
    """Stacks `steps` batches of one shape; batches that are left over come one by one.

    The grouping depends only on the remaining batches. So a resumed run has the same executions
    as a run that was never interrupted.
    """
    waiting: list[Features] = []
    for features in batches:
        if waiting and any(waiting[0][name].shape != v.shape for name, v in features.items()):
            yield from map(_stack, zip(waiting))
            waiting = []
        waiting.append(features)
        if len(waiting) == steps:
            yield _stack(waiting)
            waiting = []
    yield from map(_stack, zip(waiting))


def _stack(batches: Sequence[Features]) -> Features:
    return {name: tf.stack([batch[name] for batch in batches]) for name in batches[0]}
