"""Tests of optimizers and schedules against the published formulas in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.registry import FAMILIES
from models.training.config import OptimizerConfig
from models.training.optimizer import WarmupDecay, build_optimizer
from tests.testdata.little_families import LITTLE, build_model


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (5, 0.5), (9, 0.9), (10, 0.9), (50, 0.5), (100, 0.0), (150, 0.0)],
)
def test_the_rate_grows_linearly_and_then_follows_the_line_of_the_whole_run(step, rate):
    schedule = WarmupDecay(peak=1.0, warmup=10, steps=100)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


def test_the_linear_schedule_ends_at_the_final_rate():
    assert float(WarmupDecay(1.0, 0, 100, final=0.1)(100)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.0), (5, 0.5), (10, 1.0), (55, 0.55), (100, 0.1), (150, 0.1)]
)
def test_the_cosine_schedule_is_half_a_wave_after_warmup(step, rate):
    schedule = WarmupDecay(peak=1.0, warmup=10, steps=100, final=0.1, decay="cosine")
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.0), (1, 0.1), (2, 0.2), (150, 0.2)])
def test_the_constant_schedule_stays_at_its_peak(step, rate):
    schedule = WarmupDecay(peak=0.2, warmup=2, steps=100, decay="constant")
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


def test_adagrad_equals_its_formula():
    weight = keras.Variable(np.array([1.0, 2.0], np.float32), name="kernel")
    config = OptimizerConfig(kind="adagrad", learning_rate=0.2, warmup_steps=0, schedule="constant")
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([weight])
    gradients = [np.array([0.5, -2.0]), np.array([1.0, 0.0])]
    expected, squares = np.array([1.0, 2.0]), np.ones(2)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [weight])
        squares += gradient**2
        expected -= 0.2 * gradient / np.sqrt(squares)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-5)


def test_adagrad_updates_only_the_rows_that_have_a_gradient():
    start = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    config = OptimizerConfig(kind="adagrad", learning_rate=0.2, warmup_steps=0, schedule="constant")
    gradients = [np.array([[0.5, -2.0], [1.0, 0.0]]), np.array([[-1.0, 3.0], [0.5, 0.5]])]
    weight = keras.Variable(start, name="kernel")
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([weight])
    expected, squares = start.copy(), np.ones_like(start)
    for gradient, rows in zip(gradients, [[2, 0], [0, 1]], strict=True):
        optimizer.apply(
            [tf.IndexedSlices(tf.constant(gradient, tf.float32), rows, (3, 2))], [weight]
        )
        squares[rows] += gradient**2
        expected[rows] -= 0.2 * gradient / np.sqrt(squares[rows])
    np.testing.assert_allclose(np.asarray(weight), expected, rtol=1e-5)


def _numpy_adam_weight_decay(weight, gradients, rates, *, decay, beta_1=0.9, beta_2=0.999):
    """google-research/bert's AdamWeightDecayOptimizer, from its formula."""
    m = v = 0.0
    for gradient, rate in zip(gradients, rates, strict=True):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        weight = weight - rate * (m / (np.sqrt(v) + 1e-6) + decay * weight)
    return weight


def test_three_steps_equal_the_update_of_google_research_bert():
    kernel = keras.Variable(np.array([[0.5, -1.0]], np.float32), name="kernel")
    bias = keras.Variable(np.array([0.5, -1.0], np.float32), name="bias")
    gamma = keras.Variable(np.array([1.0, 2.0], np.float32), name="gamma")
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=2, weight_decay=0.3)
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([kernel, bias, gamma])
    gradients = [np.array([0.2, -0.4]), np.array([-0.1, 0.3]), np.array([0.05, 0.6])]
    for gradient in gradients:
        as_tensor = keras.ops.convert_to_tensor(gradient.astype(np.float32))
        optimizer.apply([as_tensor[None], as_tensor, as_tensor], [kernel, bias, gamma])
    rates = [0.0, 0.05, 0.1 * 0.8]
    expected = _numpy_adam_weight_decay(np.array([0.5, -1.0]), gradients, rates, decay=0.3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel)[0], expected, rtol=1e-5)
    expected = _numpy_adam_weight_decay(np.array([0.5, -1.0]), gradients, rates, decay=0.0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(bias), expected, rtol=1e-5)
    expected = _numpy_adam_weight_decay(np.array([1.0, 2.0]), gradients, rates, decay=0.0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gamma), expected, rtol=1e-5)


def test_three_steps_with_bias_correction_equal_the_formula_of_adamw():
    """Loshchilov and Hutter, 2019, algorithm 2; epsilon is large, so that its place matters."""
    start = np.array([[0.5, -1.0], [2.0, 0.25]])
    kernel = keras.Variable(start.astype(np.float32), name="kernel")
    config = OptimizerConfig(
        learning_rate=0.1,
        warmup_steps=0,
        schedule="constant",
        weight_decay=0.3,
        epsilon=0.05,
        bias_correction=True,
    )
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([kernel])
    expected, m, v = start, 0.0, 0.0
    for t in (1, 2, 3):
        gradient = np.array([[0.2, -0.4], [0.01, 1.0]]) / t
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [kernel])
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 0.05) + 0.3 * expected
        expected = expected - 0.1 * step
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), expected, rtol=2e-5)


def test_bias_correction_makes_the_first_step_as_long_as_the_rate():
    weight = keras.Variable(np.array([1.0], np.float32), name="kernel")
    config = OptimizerConfig(
        learning_rate=0.1, warmup_steps=0, weight_decay=0.0, bias_correction=True
    )
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([weight])
    optimizer.apply([keras.ops.convert_to_tensor([0.5])], [weight])
    assert float(weight[0]) == pytest.approx(0.9, abs=1e-3)


def _numpy_lamb(weight, gradients, rate, *, decay, corrected, ratio=True):
    """LAMB from the formulas of You et al., 2020, algorithm 2."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        first, second = (m / (1 - 0.9**t), v / (1 - 0.999**t)) if corrected else (m, v)
        update = first / (np.sqrt(second) + 1e-6)
        if ratio:
            update = update + decay * weight
            lengths = np.sqrt(np.sum(weight**2)), np.sqrt(np.sum(update**2))
            update = update * (lengths[0] / lengths[1] if all(lengths) else 1.0)
        weight = weight - rate * update
    return weight


@pytest.mark.parametrize("corrected", [True, False])
def test_two_steps_equal_the_formula_of_lamb(corrected):
    start = np.array([[3.0, -4.0], [0.5, 1.0]])
    kernel = keras.Variable(start.astype(np.float32), name="kernel")
    bias = keras.Variable(start[0].astype(np.float32), name="bias")
    zero = keras.Variable(np.zeros((2, 2), np.float32), name="kernel")
    config = OptimizerConfig(
        kind="lamb",
        learning_rate=0.1,
        warmup_steps=0,
        schedule="constant",
        weight_decay=0.3,
        bias_correction=corrected,
    )
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([kernel, bias, zero])
    gradients = [np.array([[0.2, -0.4], [1.0, 0.0]]), np.array([[-0.1, 0.3], [0.2, 2.0]])]
    for gradient in gradients:
        as_tensor = keras.ops.convert_to_tensor(gradient.astype(np.float32))
        optimizer.apply([as_tensor, as_tensor[0], as_tensor], [kernel, bias, zero])
    arguments = {"rate": 0.1, "decay": 0.3, "corrected": corrected}
    for variable, expected in (
        (kernel, _numpy_lamb(start, gradients, **arguments)),
        (bias, _numpy_lamb(start[0], [g[0] for g in gradients], ratio=False, **arguments)),
        (zero, _numpy_lamb(np.zeros((2, 2)), gradients, **arguments)),
    ):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=2e-5)


def test_the_first_step_of_lamb_is_as_long_as_the_rate_times_the_weight():
    weight = keras.Variable(np.array([3.0, 4.0], np.float32), name="kernel")
    config = OptimizerConfig(kind="lamb", learning_rate=0.1, warmup_steps=0, weight_decay=0.0)
    optimizer = build_optimizer(config, steps=10)
    optimizer.build([weight])
    optimizer.apply([keras.ops.convert_to_tensor([0.5, -7.0])], [weight])
    moved = keras.ops.convert_to_numpy(weight) - np.array([3.0, 4.0])
    assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-4)


def _not_decayed(variables, **config):
    """Paths of the variables that a step with gradients of 0 does not change."""
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0.5, **config)
    optimizer = build_optimizer(config, steps=10)
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in variables], variables)
    found = {variable.path: np.asarray(variable) for variable in variables}
    for path, value in found.items():
        assert np.all(value == 1.0) or value == pytest.approx(0.95), path
    return {path for path, value in found.items() if np.all(value == 1.0)}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("kern",), {"bias_head/kernel"}),
        (("bias",), {"bias_head/bias"}),
        (("^bias$",), {"bias_head/bias"}),
        (("head",), set()),
        (("l$", "s$"), {"bias_head/kernel", "bias_head/bias"}),
        ((), set()),
    ],
)
def test_variables_are_excluded_from_decay_by_their_own_names(patterns, expected):
    layer = keras.layers.Dense(2, name="bias_head")
    layer.build((None, 2))
    assert _not_decayed(layer.trainable_variables, exclude_from_weight_decay=patterns) == expected


NOT_DECAYED = {
    "elmo": {"bias"},
    "bert": {"bias", "output_bias", "gamma", "beta"},
    "gpt": {"bias", "gamma", "beta"},
}
DECAYED = {
    "elmo": {"characters", "kernel", "recurrent_kernel", "projection"},
    "bert": {"embeddings", "kernel"},
    "gpt": {"embeddings", "kernel"},
}


@pytest.mark.parametrize("name", list(LITTLE))
def test_by_default_biases_and_layer_norms_do_not_decay(name):
    little = LITTLE[name]
    model = build_model(FAMILIES[name], little.CONFIG, little.tokenizer(), seed=0)
    paths = {variable.path for variable in model.trainable_variables}
    found = _not_decayed(model.trainable_variables)
    assert {path.rpartition("/")[2] for path in found} == NOT_DECAYED[name]
    assert {path.rpartition("/")[2] for path in paths - found} == DECAYED[name]


@pytest.mark.parametrize("kind", ["adamw", "lamb", "adagrad"])
def test_lower_layers_have_lower_rates(kind):
    def moved(layerwise_lr_decay):
        weights = [keras.Variable(np.array([3.0, -4.0], np.float32)) for _ in range(4)]
        config = OptimizerConfig(
            kind=kind,
            learning_rate=0.1,
            warmup_steps=0,
            schedule="constant",
            weight_decay=None if kind == "adagrad" else 0.3,
            layerwise_lr_decay=layerwise_lr_decay,
        )
        tokens, first, second, head = weights
        optimizer = build_optimizer(config, 10, [[tokens], [first], [second]])
        optimizer.build(weights)
        gradient = keras.ops.convert_to_tensor([0.5, -2.0])
        optimizer.apply([gradient] * 4, weights)
        assert head is weights[3]
        return [np.asarray(weight) - np.array([3.0, -4.0]) for weight in weights]

    whole, shared = moved(1.0), moved(0.5)
    for change, share in zip(shared, (0.125, 0.25, 0.5, 1.0), strict=True):
        np.testing.assert_allclose(change, share * whole[3], rtol=1e-5)
    for change in whole:
        np.testing.assert_array_equal(change, whole[3])
