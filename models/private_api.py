"""All that is used of Keras and TensorFlow and is not part of their public interface.

Each function says what it does and why no public way does it. `tests/models/private_api_test.py`
names what is gone when a new version of a library lacks it; `tests/house_test.py` finds private
names that are used elsewhere. One more use is in `components/serving_probe.py`, which may import
nothing of ours.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

_SEED = "seed_generator_state"  # the name that Keras gives to it


def take_gradients_as_summed(optimizer: keras.optimizers.Optimizer) -> None:
    """Keeps the optimizer from summing gradients over replicas, as they are summed already.

    Keras's optimizers always sum them, behind the clipping; public arguments only say how.
    """
    optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: gradients_and_variables


def variable_key(optimizer: keras.optimizers.Optimizer, variable: Any) -> Hashable:
    """What tells an optimizer's variables apart.

    `update_step` is given TensorFlow's variables, which are not Keras's and have other names.
    """
    return optimizer._var_key(variable)


def adam_moments(
    optimizer: keras.optimizers.Adam, variable: Any
) -> tuple[keras.Variable, keras.Variable]:
    """A variable's means of gradients and of their squares, for a subclass's own update."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def decays(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether a variable was not excluded by the public `exclude_from_weight_decay`."""
    return optimizer._use_weight_decay(variable)


def is_dropout_seed(variable: keras.Variable) -> bool:
    """Whether a variable is the state of a `keras.random.SeedGenerator`; only its name tells."""
    return variable.name == _SEED


def compiled_by_xla() -> bool:
    """Whether the graph at hand, or one that it is called from, will be compiled by XLA."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def write_event(writer: tf.summary.SummaryWriter, event: Any) -> None:
    """Writes an event as it is; TensorFlow's public functions write summaries only."""
    tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())
