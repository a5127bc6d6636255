"""Tests of ELMo's backbone: parameters, formulas, initial weights and layers."""

import dataclasses
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.backbone import ElmoEncoder, build_backbone
from models.elmo.config import SIZES, ElmoBackboneConfig

CONFIG = ElmoBackboneConfig(
    character_embedding_size=4,
    filters=((1, 3), (2, 4), (5, 6)),
    num_layers=2,
    units=7,
    projection_size=5,
    cell_clip=0.5,  # so small that values are clipped
    projection_clip=0.3,
)


def shaken(config: ElmoBackboneConfig = CONFIG, scale: float = 0.4) -> ElmoEncoder:
    """An encoder whose every weight is far from 0."""
    keras.utils.set_random_seed(0)
    encoder = build_backbone(config, None)  # type: ignore[arg-type]  # characters need no tokenizer
    rng = np.random.default_rng(0)
    for weight in encoder.trainable_variables:
        weight.assign(weight + rng.normal(scale=scale, size=weight.shape))
    return encoder


@pytest.fixture(scope="module")
def encoder() -> ElmoEncoder:
    return shaken()


def features(lengths: list[int], time: int) -> dict[str, np.ndarray]:
    mask = (np.arange(time) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.random.default_rng(0).integers(1, 262, (*mask.shape, 50), np.int32)
    return {"character_ids": ids * mask[:, :, None], "padding_mask": mask}


def states_of(encoder: ElmoEncoder, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(encoder(inputs)["hidden_states"])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def word(encoder: ElmoEncoder, ids: np.ndarray) -> np.ndarray:
    """The vector of one word, by the formula."""
    layer = encoder.token_layer
    letters = np.asarray(layer.characters)[ids]
    found = []
    for convolution in layer.convolutions:
        kernel, bias = map(np.asarray, convolution.weights)
        places = range(50 - len(kernel) + 1)
        sums = [
            np.einsum("wd,wdc->c", letters[place : place + len(kernel)], kernel) + bias
            for place in places
        ]
        found.append(np.maximum(np.max(sums, axis=0), 0))
    x = np.concatenate(found)
    for highway in layer.highways:
        carry, carry_bias = map(np.asarray, highway.carry.weights)
        kernel, bias = map(np.asarray, highway.transform.weights)
        share = sigmoid(x @ carry + carry_bias)
        x = share * np.maximum(x @ kernel + bias, 0) + (1 - share) * x
    kernel, bias = map(np.asarray, layer.projection.weights)
    return x @ kernel + bias


def read(encoder: ElmoEncoder, direction: str, words: np.ndarray) -> list[np.ndarray]:
    """Each LSTM layer's outputs over the words `[time, projection]` of one text, by the formula."""
    clips, found, inputs = encoder.config, [], words
    for depth, layer in enumerate(encoder.lstm.layers_of(direction)):
        kernel, recurrent, bias, projection = map(
            np.asarray, (layer.kernel, layer.recurrent_kernel, layer.bias, layer.projection)
        )
        cell, out, outputs = np.zeros(len(projection)), np.zeros(len(kernel)), []
        for x in inputs:
            i, j, f, o = np.split(x @ kernel + out @ recurrent + bias, 4)
            cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(j)
            cell = np.clip(cell, -clips.cell_clip, clips.cell_clip)
            out = (sigmoid(o) * np.tanh(cell)) @ projection
            out = np.clip(out, -clips.projection_clip, clips.projection_clip)
            outputs.append(out)
        inputs = np.stack(outputs) + (inputs if depth else 0)
        found.append(inputs)
    return found


def test_layers_equal_the_published_formula(encoder: ElmoEncoder) -> None:
    inputs = features([6, 4], 6)
    states = states_of(encoder, inputs)
    for row, length in enumerate([6, 4]):
        words = np.stack([word(encoder, ids) for ids in inputs["character_ids"][row, :length]])
        expected = [np.concatenate([words, words], axis=1)]
        forward, backward = read(encoder, "forward", words), read(encoder, "backward", words[::-1])
        for there, back in zip(forward, backward, strict=True):
            expected.append(np.concatenate([there, back[::-1]], axis=1))
        np.testing.assert_allclose(states[row, :, :length], expected, atol=1e-5)
        assert not states[row, :, length:].any()


@pytest.mark.parametrize("longest", [1, 7, 44, 45, 46, 49, 50])
def test_repeated_words_and_removed_padding_change_no_vector(
    encoder: ElmoEncoder, longest: int
) -> None:
    lengths = np.array([[longest, 1, longest], [3, 0, 1]])  # 0: a masked position
    ids = np.random.default_rng(longest).integers(1, 261, (2, 3, 50), np.int32)
    ids[0, 2] = ids[0, 0]
    ids = np.where(np.arange(50) < lengths[..., None], ids, 261 * (lengths[..., None] > 0))
    vectors = np.asarray(encoder.token_layer(ids.astype(np.int32)))
    expected = [[word(encoder, each) for each in row] for row in ids]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_without_skip_connections_inputs_are_not_added() -> None:
    with_skips = shaken()
    without = shaken(dataclasses.replace(CONFIG, skip_connections=False))
    inputs = features([3], 3)
    skipped, alone = states_of(with_skips, inputs), states_of(without, inputs)
    np.testing.assert_array_equal(skipped[:, :2], alone[:, :2])
    np.testing.assert_allclose(skipped[:, 2] - skipped[:, 1], alone[:, 2], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("small", 13_593_312), ("medium", 28_027_744), ("original", 93_600_864)],
)
def test_the_number_of_parameters_is_the_published_one(size: str, parameters: int) -> None:
    with keras.StatelessScope(initialize_variables=False):  # shapes alone, no memory
        assert build_backbone(SIZES[size], None).count_params() == parameters  # type: ignore[arg-type]


def test_the_seed_determines_the_initial_weights() -> None:
    first, second = shaken(), shaken()
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_initial_weights_have_the_distributions_of_bilm_tf() -> None:
    keras.utils.set_random_seed(0)
    encoder = build_backbone(SIZES["tiny"], None)  # type: ignore[arg-type]
    words, lstm = encoder.token_layer, encoder.lstm.forward_layers[0]
    filters = 32 + 32 + 64 + 128
    glorot = (6 / (2 * 64 + 4 * 256)) ** 0.5
    kernels = [convolution.kernel for convolution in words.convolutions]
    uniform = {1.0: [words.characters[1:]], 0.05: kernels, glorot: [lstm.kernel]}
    uniform[glorot].append(lstm.recurrent_kernel)
    uniform[(6 / (256 + 64)) ** 0.5] = [lstm.projection]
    for bound, weights in uniform.items():
        for weight in weights:
            assert 0.98 * bound < np.abs(weight).max() <= bound
            assert np.std(weight) == pytest.approx(bound / 3**0.5, rel=0.05)
    (highway,) = words.highways
    for weight in (highway.carry.kernel, highway.transform.kernel, words.projection.kernel):
        assert np.std(weight) == pytest.approx(filters**-0.5, rel=0.05)
    assert np.all(np.asarray(highway.carry.bias) == -2)
    biases = (highway.transform.bias, words.projection.bias, lstm.bias)
    biases += tuple(convolution.bias for convolution in words.convolutions)
    for weight in (words.characters[0], *biases):
        assert not np.any(weight)


@pytest.mark.parametrize("time", [1, 7, 40])
def test_every_layer_is_returned_for_any_length(encoder: ElmoEncoder, time: int) -> None:
    inputs = features([time, 1], time)
    out = encoder(inputs)
    assert out["hidden_states"].shape == (2, 3, time, 10)
    assert np.array_equal(out["padding_mask"], inputs["padding_mask"])


def test_eager_graph_and_xla_agree(encoder: ElmoEncoder) -> None:
    inputs = features([6, 4, 0], 6)
    expected = states_of(encoder, inputs)
    assert not expected[2].any()
    for compiled in (tf.function(encoder), tf.function(encoder, jit_compile=True)):
        np.testing.assert_allclose(compiled(inputs)["hidden_states"], expected, atol=1e-5)


def test_gradients_are_finite_and_reach_every_weight(encoder: ElmoEncoder) -> None:
    inputs = features([6, 4], 6)
    weights = [weight.value for weight in encoder.trainable_variables]

    @tf.function(jit_compile=True)
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(tf.square(encoder(inputs, training=True)["hidden_states"]))
        return tape.gradient(value, weights)

    for weight, gradient in zip(weights, gradients(), strict=True):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()
        assert np.any(tf.convert_to_tensor(gradient)), weight.name


def test_dropout_is_only_in_training_and_its_seed_is_a_variable(
    encoder: ElmoEncoder,
) -> None:
    inputs = features([5], 5)
    still = encoder(inputs)["hidden_states"]
    np.testing.assert_array_equal(encoder(inputs, training=False)["hidden_states"], still)
    before = [variable.numpy() for variable in encoder.variables]
    first, second = (encoder(inputs, training=True)["hidden_states"] for _ in range(2))
    np.testing.assert_array_equal(first[:, 0], still[:, 0])
    for layer in (1, 2):
        assert np.any(first[:, layer] != still[:, layer])
        assert np.any(first[:, layer] != second[:, layer])
    assert np.mean(first[:, 2] == 0) > 0.02  # the last outputs are dropped too
    for variable, value in zip(encoder.variables, before, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(encoder(inputs, training=True)["hidden_states"], first)


def test_saved_weights_are_restored(tmp_path: pathlib.Path) -> None:
    first, second, inputs = shaken(), shaken(scale=0.1), features([5], 5)
    path = tf.train.Checkpoint(model=first).write(str(tmp_path / "weights"))
    tf.train.Checkpoint(model=second).read(path).assert_existing_objects_matched()
    for weight, expected in zip(second.trainable_variables, first.trainable_variables, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    np.testing.assert_array_equal(states_of(second, inputs), states_of(first, inputs))


def test_each_direction_can_be_run_alone_and_in_parts() -> None:
    encoder = shaken()
    inputs = features([7, 3], 7)
    expected = states_of(encoder, inputs)
    tokens, mask = encoder.token_layer(inputs["character_ids"]), inputs["padding_mask"]
    lengths = mask.sum(axis=1)
    turned = tf.reverse_sequence(tokens, lengths, seq_axis=1)
    for half, (direction, each) in enumerate([("forward", tokens), ("backward", turned)]):
        state, parts = encoder.zero_state(2), []
        for part in (slice(0, 4), slice(4, 5), slice(5, 7)):  # the second row ends in the first
            outputs, state = encoder.run(direction, each[:, part], mask[:, part], state)
            parts.append(tf.stack(outputs, axis=1))
        whole = tf.concat(parts, axis=2)
        if half:
            whole = tf.reverse_sequence(whole, lengths, seq_axis=2)
        np.testing.assert_allclose(whole, expected[:, 1:, :, 5 * half :][..., :5], atol=1e-6)
        outputs, alone = encoder.run(direction, each[1:, :3], None, encoder.zero_state(1))
        for carried, expected_state in zip(state, alone, strict=True):
            np.testing.assert_allclose(carried[:, 1:], expected_state, atol=1e-6)


def test_two_directions_at_once_equal_two_single_runs(encoder: ElmoEncoder) -> None:
    rng = np.random.default_rng(0)
    tokens = [tf.constant(rng.normal(size=(2, 4, 5)), tf.float32) for _ in range(2)]
    states = [
        type(encoder.zero_state(2))(
            tf.constant(rng.normal(size=(2, 2, 7)), tf.float32),
            tf.constant(rng.normal(size=(2, 2, 5)), tf.float32),
        )
        for _ in range(2)
    ]
    outputs, after = encoder.run_both(tokens, None, states)
    for place, direction in enumerate(["forward", "backward"]):
        alone, state = encoder.run(direction, tokens[place], None, states[place])
        np.testing.assert_allclose(outputs[place], alone, atol=1e-6)
        np.testing.assert_allclose(after[place].cells, state.cells, atol=1e-6)
        np.testing.assert_allclose(after[place].outputs, state.outputs, atol=1e-6)


SERVE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
inputs = np.load(sys.argv[2])
serve = model.signatures["serving_default"]
found = serve(**{name: tf.constant(inputs[name]) for name in ("character_ids", "padding_mask")})
np.testing.assert_allclose(found["hidden_states"], inputs["expected"], atol=1e-5)
empty = serve(character_ids=tf.zeros([2, 0, 50], tf.int32), padding_mask=tf.zeros([2, 0], tf.int32))
print(empty["hidden_states"].shape)
"""


@pytest.mark.e2e
def test_a_saved_encoder_serves_any_length_without_this_project(
    encoder: ElmoEncoder, tmp_path: pathlib.Path
) -> None:
    inputs = features([40, 3], 40)
    np.savez(tmp_path / "inputs.npz", expected=states_of(encoder, inputs), **inputs)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 50], tf.int32, "character_ids"),
            tf.TensorSpec([None, None], tf.int32, "padding_mask"),
        ]
    )
    def serve(character_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return encoder({"character_ids": character_ids, "padding_mask": padding_mask})

    module = tf.Module()
    module.model = encoder
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": serve})
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model"), str(tmp_path / "inputs.npz")],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "(2, 3, 0, 10)"
