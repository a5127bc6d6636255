"""All uses of private interfaces of Keras and TensorFlow.

Each function says why no public interface is enough. If a new version of a library lacks one,
`tests/models/private_api_test.py` names it. `tests/house_test.py` rejects private names elsewhere.
The one exception is `components/serving/probe.py`, which has to run without this code.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

_SEED = "seed_generator_state"  # the name that Keras gives to it


def take_gradients_as_summed(optimizer: keras.optimizers.Optimizer) -> None:
    """Stops the optimizer from summing gradients over replicas, because they are summed already.

    Keras's optimizers always sum gradients, after clipping; public arguments only say how.
    """
    optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: gradients_and_variables


def variable_key(optimizer: keras.optimizers.Optimizer, variable: Any) -> Hashable:
    """A key that identifies a variable in an optimizer.

    `update_step` gets TensorFlow variables, whose names differ from the Keras variables' names.
    """
    return optimizer._var_key(variable)


def adam_moments(
    optimizer: keras.optimizers.Adam, variable: Any
) -> tuple[keras.Variable, keras.Variable]:
    """A variable's moments, the means of gradients and of their squares, for a custom update."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def adagrad_sums(optimizer: keras.optimizers.Adagrad, variable: Any) -> keras.Variable:
    """A variable's sums of squared gradients, for a custom update."""
    return optimizer._accumulators[optimizer._get_variable_index(variable)]


def decays(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether a variable decays: it was not passed to the public `exclude_from_weight_decay`."""
    return optimizer._use_weight_decay(variable)


def is_dropout_seed(variable: keras.Variable) -> bool:
    """Whether a variable is the state of a `keras.random.SeedGenerator`, judged by its name."""
    return variable.name == _SEED


def compiled_by_xla() -> bool:
    """Whether XLA will compile the current graph, or a graph that calls it."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def write_event(writer: tf.summary.SummaryWriter, event: Any) -> None:
    """Writes any event. TensorFlow's public functions write only summaries."""
    tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())
