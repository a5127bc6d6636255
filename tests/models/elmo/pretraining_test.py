"""Tests of ELMo's pretraining model: its sums, state and baselines."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.counts import Counts
from models.elmo.backbone import build_backbone
from models.elmo.lstm import DIRECTIONS
from models.elmo.objective import ElmoObjective
from models.elmo.pretraining import ElmoPretraining
from tests.testdata.little_elmo import CONFIG, tokenizer

TIME, SIZE = 12, 24
WORDS = tokenizer()


def build(*, dropout: bool = False) -> ElmoPretraining:
    keras.utils.set_random_seed(0)
    model = ElmoObjective(CONFIG.objective, WORDS).build_model(
        build_backbone(CONFIG.backbone, WORDS)
    )
    if not dropout:
        for layer in model.backbone.lstm.dropouts:
            layer.rate = 0.0
    return model


def batch(rows: int, *, seed: int = 0, full: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = np.full(rows, TIME) if full else rng.integers(1, TIME + 1, rows)
    mask = (np.arange(TIME) < lengths[:, None]).astype(np.int32)

    def words() -> np.ndarray:
        characters = rng.integers(1, 257, (rows, TIME, 50))
        return (characters * mask[:, :, None]).astype(np.int32)

    def ids() -> np.ndarray:
        return rng.integers(0, SIZE, (rows, TIME)).astype(np.int32)

    return {
        "character_ids": words(),
        "backward_character_ids": words(),
        "padding_mask": mask,
        "first_ids": rng.integers(0, SIZE, (rows, 2)).astype(np.int32),
        "next_ids": ids(),
        "previous_ids": ids(),
        "stream": (np.arange(rows, dtype=np.int32) % 2)[:, None],
        "continues": np.ones((rows, 1), np.int32),
    }


def counted(objective: ElmoObjective, inputs: dict[str, np.ndarray]) -> dict[str, Counts]:
    keys = objective.count(inputs)
    return {name: Counts(*np.unique(k, return_counts=True)) for name, k in keys.items()}


def nll_of(model: ElmoPretraining, hidden: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = hidden @ np.asarray(model.softmax.kernel).T + np.asarray(model.softmax.bias)
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]


def test_sums_equal_their_formulas() -> None:
    model = build()
    inputs = batch(5)
    sums = {name: np.asarray(value) for name, value in model(inputs, training=False).items()}
    real = inputs["padding_mask"]
    total = 0.0
    for direction, read, label in (
        ("forward", "character_ids", "next_ids"),
        ("backward", "backward_character_ids", "previous_ids"),
    ):
        tokens = model.backbone.token_layer(inputs[read])
        outputs, _ = model.backbone.run(direction, tokens, real, model.backbone.zero_state(5))
        nll = nll_of(model, np.asarray(outputs[-1]), inputs[label])
        np.testing.assert_allclose(sums[f"{direction}_nll_sum"], (nll * real).sum(1), rtol=1e-4)
        total = total + (nll * real).sum(1)
    np.testing.assert_allclose(sums["nll_sum"], total, rtol=1e-4)
    np.testing.assert_array_equal(sums["token_count"], real.sum(1))
    np.testing.assert_array_equal(sums["prediction_count"], 2 * real.sum(1))
    uniform = 2 * np.log(SIZE) * real.sum(1)
    np.testing.assert_allclose(sums["unigram_nll_sum"], uniform, rtol=1e-5)
    np.testing.assert_allclose(sums["bigram_nll_sum"], uniform, rtol=1e-5)


def test_the_directions_share_only_the_token_layer_and_the_softmax() -> None:
    model = build()
    inputs = batch(4)
    reached = []
    for direction in DIRECTIONS:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(model(inputs, training=True)[f"{direction}_nll_sum"])
        weights = model.trainable_variables
        gradients = tape.gradient(value, [weight.value for weight in weights])
        gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        reached.append({w.path for w, g in zip(weights, gradients, strict=True) if g.any()})
    every = {weight.path for weight in model.trainable_variables}
    recurrent = {weight.path for weight in model.backbone.lstm.trainable_variables}
    assert reached[0] & reached[1] == every - recurrent
    assert reached[0] | reached[1] == every


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_window_continues_from_the_state_after_its_streams_previous_window(order) -> None:
    """Two windows of two streams in training are one window of twice the length."""
    model = build()
    first, second = batch(2, full=True), batch(2, seed=1, full=True)
    first["continues"][:] = 0
    part = [{name: value[order] for name, value in inputs.items()} for inputs in (first, second)]
    hidden = []

    def keep(inputs, labels):
        hidden.extend(np.split(inputs.numpy(), 2))
        return tf.zeros(labels.shape)

    model.softmax.sampled_nll = keep
    for inputs in part:
        model(inputs, training=True)
    for place, (direction, read) in enumerate(
        zip(DIRECTIONS, ("character_ids", "backward_character_ids"), strict=True)
    ):
        long = np.concatenate([first[read], second[read]], axis=1)[order]
        outputs, _ = model.backbone.run(
            direction, model.backbone.token_layer(long), None, model.backbone.zero_state(2)
        )
        found = np.concatenate(
            [hidden[place].reshape(2, TIME, -1), hidden[2 + place].reshape(2, TIME, -1)], axis=1
        )
        np.testing.assert_allclose(found, outputs[-1], atol=1e-5)


def test_first_windows_and_evaluation_start_from_the_zero_state() -> None:
    model = build()
    inputs = batch(2, full=True)
    begins = inputs | {"continues": np.zeros((2, 1), np.int32)}
    model.softmax._num_sampled = 0  # so that nothing is random
    before = model(begins, training=True)["forward_nll_sum"].numpy()
    model(batch(2, seed=3, full=True), training=True)
    np.testing.assert_array_equal(model(begins, training=True)["forward_nll_sum"], before)
    continued = model(inputs, training=True)["forward_nll_sum"].numpy()
    assert not np.allclose(continued, before)
    evaluated = model(inputs, training=False)["forward_nll_sum"]
    np.testing.assert_allclose(evaluated, before, rtol=1e-5)


def test_each_direction_has_the_baseline_of_its_own_pairs() -> None:
    model = build()
    inputs = batch(9)
    objective = ElmoObjective(CONFIG.objective, WORDS)
    objective.fill_baselines(model, counted(objective, inputs))
    real = inputs["padding_mask"] > 0
    for direction, bigram, label, (ends, begins) in (
        (0, model.forward_bigram, "next_ids", (1, 0)),
        (1, model.backward_bigram, "previous_ids", (0, 1)),
    ):
        read = np.roll(inputs[label], 1, axis=1)
        read = np.where(read == ends, begins, read)
        read[:, 0] = inputs["first_ids"][:, direction]
        pairs = read[real].astype(np.int64) * SIZE + inputs[label][real]
        kept = bigram.table("keys").numpy()
        assert set(kept[kept < SIZE**2].tolist()) <= set(pairs.tolist())
        assert kept[0] < SIZE**2
    both = np.concatenate([inputs["next_ids"][real], inputs["previous_ids"][real]])
    counts = np.bincount(both, minlength=SIZE) + 1
    np.testing.assert_allclose(
        model.unigram.table("log_probabilities"), np.log(counts / counts.sum()), rtol=1e-5
    )
    assert not any("gram" in weight.path for weight in model.variables)


def test_initialize_sets_the_softmax_bias_to_the_frequencies_of_words() -> None:
    model = build()
    objective = ElmoObjective(CONFIG.objective, WORDS)
    untrained = [weight.numpy() for weight in model.trainable_variables]
    counts = counted(objective, batch(9))
    objective.initialize(model, counts)
    for weight, before in zip(model.trainable_variables, untrained, strict=True):
        if weight is model.softmax.bias:
            words = counts["words"].dense(SIZE) + 1
            np.testing.assert_allclose(weight, np.log(words / words.sum()), rtol=1e-5)
            assert np.ptp(weight.numpy()) > 0.5
        else:
            np.testing.assert_array_equal(weight, before)


def mean_nll(precision: str, *, training: bool) -> float:
    """Nats per word and direction, by a model with weights so large that logits differ."""
    keras.config.set_dtype_policy(precision)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(4)
    for layer in (*model.backbone.lstm.forward_layers, *model.backbone.lstm.backward_layers):
        layer.projection.assign(rng.normal(scale=0.5, size=layer.projection.shape))
    model.softmax.kernel.assign(rng.normal(scale=0.5, size=model.softmax.kernel.shape))
    model.softmax.bias.assign(rng.normal(size=SIZE))
    model.softmax._num_sampled = 0  # so that nothing is random
    total = count = 0.0
    for seed in range(8):  # consecutive windows
        sums = model(batch(2, seed=seed), training=training)
        total += sum(float(tf.reduce_sum(sums[f"{each}_nll_sum"])) for each in DIRECTIONS)
        count += 2 * float(tf.reduce_sum(sums["token_count"]))
    return total / count


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_in_bfloat16_is_close_to_that_in_float32(training) -> None:
    full, half = (mean_nll(each, training=training) for each in ("float32", "mixed_bfloat16"))
    assert half != full
    assert abs(half - full) < 0.005


def test_states_of_streams_are_variables_but_are_not_saved_with_the_model(tmp_path) -> None:
    model = build()
    model(batch(2, full=True), training=True)
    carried = [each for each in model.non_trainable_variables if "streams" in each.name]
    assert {each.shape for each in carried} == {(2, 2, 12), (2, 2, 8)}
    assert all(np.any(each) for each in carried)
    objective = dataclasses.replace(CONFIG.objective, num_streams=6)
    keras.utils.set_random_seed(1)
    other = ElmoObjective(objective, WORDS).build_model(build_backbone(CONFIG.backbone, WORDS))
    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, str(tmp_path))
    tf.train.Checkpoint(model=other).read(f"{tmp_path}/variables/variables").assert_consumed()
    for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.e2e
def test_a_training_step_compiles_for_an_accelerator() -> None:
    model = build(dropout=True)
    inputs = {name: tf.constant(value) for name, value in batch(2, full=True).items()}

    @tf.function(jit_compile=True)
    def loss(features):
        return tf.reduce_sum(model(features, training=True)["forward_nll_sum"])

    assert np.isfinite(float(loss(inputs)))
