"""Tests of the signatures that all families serve, with a backbone of known vectors."""

import numpy as np
import pytest
import tensorflow as tf

from models.framing import Framed, Text, join
from models.text_vectors import run_backbone, vector_requests, vector_signatures

LAYERS, TIME, HIDDEN_SIZE = 3, 2, 2


class Tokenizer:
    """Every text is the one token "b"."""

    def tokenize_with_offsets(self, texts):  # type: ignore[no-untyped-def]
        ids = tf.RaggedTensor.from_tensor(tf.ones([tf.size(texts), 1], tf.int32))
        starts = tf.cast(ids, tf.int64)
        return ids, starts, starts + 1

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(["a", "b"]), ids)


def frame(ids: tf.RaggedTensor) -> Framed:
    """Puts the token "a" before each text."""
    joined = join([Text([0], ids, [])], padding=0)
    return joined.framed({"padding_mask": joined.padding_mask})


class Backbone:
    """The number in a vector is 100 · row + 10 · layer + position."""

    def __call__(self, features, *, training):  # type: ignore[no-untyped-def]
        assert not training
        mask = features["padding_mask"]
        tf.debugging.assert_positive(tf.size(mask))
        row = tf.cast(tf.range(tf.shape(mask)[0]), tf.float32)[:, tf.newaxis, tf.newaxis]
        position = tf.range(tf.cast(tf.shape(mask)[1], tf.float32))[:, tf.newaxis]
        vectors = 100 * row + tf.tile(position, [1, HIDDEN_SIZE])
        layers = [vectors + 10 * layer for layer in range(LAYERS)]
        return {
            "hidden_states": tf.stack(layers, axis=1),
            "pooled": layers[-1][:, 0],
            "padding_mask": mask,
        }


SIGNATURES = vector_signatures(Backbone(), Tokenizer(), frame)  # type: ignore[arg-type]
TEXTS = tf.constant(["x", "y"])


def test_each_text_has_the_requested_layers() -> None:
    out = SIGNATURES["hidden_states"](TEXTS, tf.constant([[0, -1, 1], [-3, 2, -2]]))
    assert out["hidden_states"].shape == (2, 3, TIME, HIDDEN_SIZE)
    assert out["hidden_states"][..., 0].numpy().tolist() == [
        [[0, 1], [20, 21], [10, 11]],
        [[100, 101], [120, 121], [110, 111]],
    ]
    assert set(out) == {"hidden_states", "tokens", "starts", "limits", "padding_mask"}


def test_zero_layers_can_be_requested() -> None:
    out = SIGNATURES["hidden_states"](TEXTS, tf.zeros([2, 0], tf.int32))
    assert out["hidden_states"].shape == (2, 0, TIME, HIDDEN_SIZE)
    assert out["tokens"].shape == (2, TIME)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_does_not_exist_is_refused(layer: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="layers must be from -3 to 2"):
        SIGNATURES["hidden_states"](TEXTS, [[0], [layer]])


def test_serving_default_returns_one_vector_and_stacks_no_layers() -> None:
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


def test_warmup_requests_are_answered() -> None:
    requests = vector_requests()
    assert requests.keys() == SIGNATURES.keys()
    for name, many in requests.items():
        for request in many:
            out = SIGNATURES[name](**{key: tf.constant(value) for key, value in request.items()})
            assert {len(value) for value in out.values()} == {len(request["texts"])}


def test_tokens_have_their_offsets_in_the_text() -> None:
    out = SIGNATURES["serving_default"](TEXTS)
    assert out["tokens"].numpy().tolist() == [[b"a", b"b"]] * 2
    assert out["starts"].numpy().tolist() == [[0, 1]] * 2
    assert out["limits"].numpy().tolist() == [[0, 2]] * 2
    assert out["padding_mask"].numpy().tolist() == [[1, 1]] * 2


def test_an_empty_batch_is_computed_as_a_row_of_padding() -> None:
    features = {"padding_mask": tf.zeros([0, 0], tf.int32)}
    outputs = run_backbone(Backbone(), features)  # type: ignore[arg-type]
    assert {name: value.shape[0] for name, value in outputs.items()} == {
        "hidden_states": 0, "pooled": 0, "padding_mask": 0,
    }  # fmt: skip
