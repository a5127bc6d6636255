"""Tests that rematerialization changes no gradient, no seed and no training."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.examples import Serializer, parse
from models.objective import numeric_features
from models.registry import FAMILIES
from models.training.config import DevicesConfig, OptimizerConfig, TrainingConfig
from models.training.devices import Devices
from models.training.optimizer import build_optimizer
from models.training.rematerialization import rematerialized
from models.training.step import compile_steps
from tests.testdata.little_families import LITTLE, build_model, make_examples


class Noisy(keras.layers.Layer):
    """A layer with dropout that counts its calls."""

    def __init__(self):
        super().__init__(name="noisy")
        self.dense = keras.layers.Dense(3, activation="tanh")
        self.dropout = keras.layers.Dropout(0.5)
        self.called = 0

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs, real=None, scale=1.0, training=None):
        self.called += 1
        return (
            scale * self.dropout(self.dense(inputs), training=training) * tf.cast(real, "float32")
        )


def gradients(layer, inputs, mask, layers):
    seeds = layer.non_trainable_variables
    with (
        keras.StatelessScope([(seed, tf.constant([1, 2], "uint32")) for seed in seeds]) as scope,
        tf.GradientTape() as tape,
    ):
        tape.watch(inputs)
        with rematerialized(layers):
            output = layer(inputs, real=mask, scale=2.0, training=True)
            output = layer(output, real=mask, training=True)
        loss = tf.reduce_sum(output**2)
        after = [scope.get_current_value(seed) for seed in seeds]
    sources = [inputs, *(v.value for v in layer.trainable_variables)]
    return tape.gradient(loss, sources), loss, after


def test_the_gradient_calls_the_layer_again_and_is_the_same():
    keras.utils.set_random_seed(1)
    layer = Noisy()
    layer.build((None, 3))
    inputs = tf.constant(np.random.default_rng(0).normal(size=(8, 3)), tf.float32)
    mask = tf.constant([[True]] * 5 + [[False]] * 3)
    plain = gradients(layer, inputs, mask, [])
    assert layer.called == 2
    again = gradients(layer, inputs, mask, [layer])
    assert layer.called == 2 + 4
    assert np.asarray(plain[2]).tolist() == np.asarray(again[2]).tolist() == [[1, 4]]
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(again), strict=True):
        np.testing.assert_array_equal(a, b)
    gradients(layer, inputs, mask, [])
    assert layer.called == 2 + 4 + 2  # after the block nothing is recomputed


def trained(name, rematerialize, *, precision="float32", **training):
    """Losses of two steps with dropout and the weights after them."""
    family, row = FAMILIES[name], LITTLE[name]
    tokenizer = row.tokenizer()
    backbone = dataclasses.replace(row.CONFIG.backbone, dropout=0.3)
    config = dataclasses.replace(row.CONFIG, backbone=backbone)
    objective = family.build_objective(config.objective, tokenizer)
    spec = objective.feature_spec()
    texts = Serializer(spec).serialize(make_examples(row, objective, tokenizer)[:2])
    features = parse(tf.constant(texts), numeric_features(spec))
    keras.config.set_dtype_policy(precision)
    try:
        model = build_model(family, config, tokenizer, seed=1)
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = OptimizerConfig(learning_rate=0.1, warmup_steps=0, schedule="constant")
    settings = TrainingConfig(batch_size=2, optimizer=optimizer, **training)
    built = build_optimizer(optimizer, 10)
    built.build(model.trainable_variables)
    devices = Devices(DevicesConfig(rematerialize=rematerialize))
    steps = compile_steps(model, objective, built, settings, devices)
    found = steps({k: tf.stack([v] * 2) for k, v in features.items()}, False)
    return found["loss"].numpy(), [np.asarray(v) for v in model.variables]


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("elmo", {}),
        ("bert", {"gradient_accumulation_steps": 2}),
        ("gpt", {"precision": "mixed_bfloat16"}),
        pytest.param("gpt", {"jit_compile": True}, marks=pytest.mark.e2e),
    ],
)
def test_training_is_the_same(name, training):
    training = {"jit_compile": False, **training}
    (plain, plain_values), (again, values) = (trained(name, r, **training) for r in (False, True))
    if "precision" in training:  # a sum in another order rounds to another bfloat16
        np.testing.assert_allclose(again, plain, rtol=1e-3)
        return
    np.testing.assert_allclose(again, plain, rtol=1e-5)
    for a, b in zip(plain_values, values, strict=True):  # Adam's first steps have a length of 0.3
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-3)
