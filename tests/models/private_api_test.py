"""Tests that the private interfaces still exist and still do what the code needs."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import private_api


def adam() -> tuple[keras.optimizers.Adam, keras.Variable, keras.Variable]:
    optimizer = keras.optimizers.Adam(0.1, beta_1=0.5, beta_2=0.75, weight_decay=0.5)
    first, second = keras.Variable([1.0, 2.0], name="a"), keras.Variable([3.0], name="b")
    optimizer.exclude_from_weight_decay([second])
    optimizer.build([first, second])
    return optimizer, first, second


@pytest.mark.parametrize(
    "name",
    [
        "_all_reduce_sum_gradients",
        "_get_variable_index",
        "_momentums",
        "_use_weight_decay",
        "_var_key",
        "_velocities",
    ],
)
def test_keras_optimizers_have(name: str) -> None:
    optimizer, *_ = adam()
    assert hasattr(optimizer, name), (
        f"keras.optimizers.Adam of Keras {keras.__version__} has no {name} any more; find another "
        "way in models/private_api.py"
    )


def test_tensorflows_writers_have_a_resource(tmp_path: pathlib.Path) -> None:
    writer = tf.summary.create_file_writer(str(tmp_path))
    assert hasattr(writer, "_resource"), (
        f"the summary writer of TensorFlow {tf.__version__} has no _resource any more; find "
        "another way in models/private_api.py"
    )


def test_keras_does_not_sum_gradients_again() -> None:
    optimizer, first, _ = adam()
    private_api.take_gradients_as_summed(optimizer)
    pairs = [(tf.constant([1.0, 1.0]), first)]
    assert optimizer._all_reduce_sum_gradients(pairs) is pairs, (
        f"Optimizer._all_reduce_sum_gradients of Keras {keras.__version__} was not replaced"
    )
    sums = []

    def sum_up(gradients_and_variables: list) -> list:
        sums.append(gradients_and_variables)
        return gradients_and_variables

    optimizer._all_reduce_sum_gradients = sum_up
    optimizer.apply([tf.ones([2]), tf.ones([1])])
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        mirrored = keras.optimizers.Adam(0.1)
        weight = keras.Variable([1.0])
        mirrored.build([weight])
    mirrored._all_reduce_sum_gradients = sum_up
    strategy.run(lambda: mirrored.apply([tf.ones([1])], [weight]))
    assert sums, (
        f"Keras {keras.__version__} no longer calls Optimizer._all_reduce_sum_gradients; find where"
        " it sums gradients"
    )


def test_adam_moments_belong_to_the_variable() -> None:
    optimizer, first, second = adam()
    optimizer.apply([tf.constant([4.0, 8.0]), tf.constant([2.0])], [first, second])
    means, squares = private_api.adam_moments(optimizer, first)
    np.testing.assert_allclose(means, [2.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(squares, [4.0, 16.0], rtol=1e-6)
    means, squares = private_api.adam_moments(optimizer, second.value)
    np.testing.assert_allclose(means, [1.0], rtol=1e-6)
    np.testing.assert_allclose(squares, [1.0], rtol=1e-6)


def test_adagrad_sums_belong_to_the_variable() -> None:
    optimizer = keras.optimizers.Adagrad(0.1, initial_accumulator_value=1.0)
    first, second = keras.Variable([1.0, 2.0], name="a"), keras.Variable([3.0], name="b")
    optimizer.build([first, second])
    assert hasattr(optimizer, "_accumulators"), (
        f"keras.optimizers.Adagrad of Keras {keras.__version__} has no _accumulators any more; "
        "find another way in models/private_api.py"
    )
    optimizer.apply([tf.constant([4.0, 8.0]), tf.constant([2.0])], [first, second])
    sums = [private_api.adagrad_sums(optimizer, each) for each in (first, second.value)]
    assert [np.asarray(each).tolist() for each in sums] == [[17.0, 65.0], [5.0]]


def test_a_keras_variable_and_its_tensorflow_variable_have_the_same_key() -> None:
    optimizer, first, second = adam()
    keys = [private_api.variable_key(optimizer, each) for each in (first, second)]
    assert keys == [private_api.variable_key(optimizer, each.value) for each in (first, second)], (
        f"Optimizer._var_key of Keras {keras.__version__} differs between a variable and its value"
    )
    assert len(set(keys)) == 2


def test_excluded_variables_do_not_decay() -> None:
    optimizer, first, second = adam()
    assert private_api.decays(optimizer, first)
    assert not private_api.decays(optimizer, second)


def test_the_seed_of_dropout_is_recognized_by_its_name() -> None:
    layer = keras.layers.Dropout(0.5)
    layer.build((2, 2))
    (seed,) = layer.variables
    assert private_api.is_dropout_seed(seed), (
        f"Keras {keras.__version__} calls the state of a seed generator {seed.name!r}; change the "
        "name in models/private_api.py"
    )
    assert not private_api.is_dropout_seed(keras.Variable([0, 0], name="seed"))


def test_a_graph_knows_whether_xla_compiles_it() -> None:
    answers = []

    def outer() -> tf.Tensor:
        inner = tf.function(lambda: answers.append(private_api.compiled_by_xla()) or tf.constant(0))
        return inner()

    tf.function(outer)()
    tf.function(outer, jit_compile=True)()
    assert answers == [False, True], (
        f"control_flow_util.GraphOrParentsInXlaContext of TensorFlow {tf.__version__} no longer "
        "reports it"
    )


def test_an_event_is_written_unchanged(tmp_path: pathlib.Path) -> None:
    writer = tf.summary.create_file_writer(str(tmp_path))
    private_api.write_event(writer, tf.compat.v1.Event(wall_time=1.0, step=7, file_version="ours"))
    writer.close()
    (path,) = tmp_path.iterdir()
    events = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    assert [(event.step, event.file_version) for event in events][-1] == (7, "ours")
