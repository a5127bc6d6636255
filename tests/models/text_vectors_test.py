"""What a request for vectors gives, of a family whose vectors are known."""

import numpy as np
import pytest
import tensorflow as tf

from models.text_vectors import ReadTexts, vector_requests, vector_signatures

LAYERS, TIME, WIDTH = 3, 2, 2


def read(texts: tf.Tensor) -> ReadTexts:
    """Every text is two tokens; a vector's number is 100 · row + 10 · layer + token."""
    rows = tf.size(texts)
    row = tf.cast(tf.range(rows), tf.float32)[:, tf.newaxis, tf.newaxis]
    token = tf.range(float(TIME))[:, tf.newaxis]
    layers = [
        100 * row + 10 * layer + tf.broadcast_to(token, [TIME, WIDTH]) for layer in range(LAYERS)
    ]
    places = tf.zeros([rows, TIME], tf.int64)
    return ReadTexts(
        tokens=tf.tile([["a", "b"]], [rows, 1]),
        starts=places,
        limits=places + 1,
        padding_mask=tf.ones([rows, TIME], tf.int32),
        pooled=layers[-1][:, 0],
        hidden_states=tf.stack(layers, axis=1),
    )


SIGNATURES = vector_signatures(read)
TEXTS = tf.constant(["x", "y"])


def test_each_text_has_the_layers_that_it_asks_for() -> None:
    out = SIGNATURES["hidden_states"](TEXTS, tf.constant([[0, -1, 1], [-3, 2, -2]]))
    assert out["hidden_states"].shape == (2, 3, TIME, WIDTH)
    assert out["hidden_states"][..., 0].numpy().tolist() == [
        [[0, 1], [20, 21], [10, 11]],
        [[100, 101], [120, 121], [110, 111]],
    ]
    assert set(out) == {"hidden_states", "tokens", "starts", "limits", "padding_mask"}


def test_no_layer_may_be_asked_for() -> None:
    out = SIGNATURES["hidden_states"](TEXTS, tf.zeros([2, 0], tf.int32))
    assert out["hidden_states"].shape == (2, 0, TIME, WIDTH)
    assert out["tokens"].shape == (2, TIME)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(layer: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="layers must be from -3 to 2"):
        SIGNATURES["hidden_states"](TEXTS, [[0], [layer]])


def test_by_default_a_text_has_one_vector_and_no_layer_is_stacked() -> None:
    out = SIGNATURES["serving_default"](TEXTS)
    np.testing.assert_array_equal(out["pooled"], [[20, 20], [120, 120]])
    assert set(out) == {"pooled", "tokens", "starts", "limits", "padding_mask"}
    concrete = SIGNATURES["serving_default"].get_concrete_function()
    needed, queue = set(), [output.op for output in concrete.graph.outputs]
    while queue:
        operation = queue.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            queue += [tensor.op for tensor in operation.inputs] + operation.control_inputs
    stacks = [op for op in concrete.graph.get_operations() if op.type == "Pack"]
    (states,) = [op for op in stacks if len(op.inputs) == LAYERS]
    assert states.name not in needed


def test_requests_that_warm_up_are_answered() -> None:
    requests = vector_requests()
    assert requests.keys() == SIGNATURES.keys()
    for name, many in requests.items():
        for request in many:
            out = SIGNATURES[name](**{key: tf.constant(value) for key, value in request.items()})
            assert {len(value) for value in out.values()} == {len(request["texts"])}
