"""Tests of compiled steps: gradients, accumulation, devices, and what XLA needs."""

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
from models.training.step import compile_steps
from tests.testdata.little_families import LITTLE, build_model, make_examples
from tests.testdata.summing import TIME, SummingObjective, fresh_model

CONFIG = TrainingConfig(
    batch_size=4,
    jit_compile=False,
    optimizer=OptimizerConfig(learning_rate=0.1, warmup_steps=0, schedule="constant"),
)


def features_of(steps: int) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(steps)
    real = rng.integers(1, TIME + 1, (steps, 4, 1))
    return {
        "padding_mask": tf.constant((np.arange(TIME) < real).astype(np.int32)),
        "label": tf.constant(rng.normal(size=(steps, 4, 1)).astype(np.float32)),
    }


def steps_of(model, config=CONFIG, devices=None, objective=None):
    optimizer = build_optimizer(config.optimizer, 10)
    optimizer.build(model.trainable_variables)
    objective, devices = objective or SummingObjective(), devices or Devices()
    return compile_steps(model, objective, optimizer, config, devices)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_of_one_execution_equal_single_steps(jit_compile):
    config = dataclasses.replace(CONFIG, jit_compile=jit_compile)
    together, apart = fresh_model(), fresh_model()
    features = features_of(3)
    found = steps_of(together, config)(features, False)
    step = steps_of(apart, config)
    ones = [step({k: v[i : i + 1] for k, v in features.items()}, False) for i in range(3)]
    assert set(found) == set(ones[0])
    for name, values in found.items():
        np.testing.assert_allclose(values, [one[name][0] for one in ones], rtol=1e-5, err_msg=name)
    for a, b in zip(together.variables, apart.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=a.path)


def test_dropout_seeds_advance_with_every_step():
    model = fresh_model()
    (seed,) = [v for v in model.variables if v.name == "seed_generator_state"]
    first, counter = np.asarray(seed)
    steps_of(model)(features_of(3), False)
    assert np.asarray(seed).tolist() == [first, counter + 3]


def test_the_outputs_of_a_step():
    features = features_of(1)
    found = steps_of(fresh_model())(features, True)
    assert found["tokens"].numpy() == [features["padding_mask"].numpy().sum()]
    assert found["positions"].numpy() == [4 * TIME]
    assert found["termination_requests"].numpy() == [1]
    assert found["learning_rate"].numpy() == [np.float32(0.1)]


class GraphObjective(SummingObjective):
    """Keeps the graph of the step."""

    def denominators(self, features):
        self.graph = features["padding_mask"].graph
        return super().denominators(features)


def graph_of(gradient_accumulation_steps, strategy="one"):
    """The graph of a step whose batch of eight is computed in this many micro-batches."""
    config = dataclasses.replace(
        CONFIG, batch_size=8, gradient_accumulation_steps=gradient_accumulation_steps
    )
    names = () if strategy == "one" else ("CPU:0",)
    objective, devices = GraphObjective(), Devices(DevicesConfig(strategy, names))
    with devices.scope():
        run = steps_of(fresh_model(), config, devices, objective)
    run({name: tf.concat([value] * 2, axis=1) for name, value in features_of(1).items()}, False)
    return objective.graph


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_micro_batches_are_computed_one_after_the_other(strategy):
    operations = graph_of(4, strategy).get_operations()
    (loop,) = [operation for operation in operations if operation.type.endswith("While")]
    assert loop.get_attr("parallel_iterations") == 1
    kinds = {operation.type for operation in loop.graph.get_operations()}
    assert not kinds & {"MatMul", "StatelessRandomUniformV2"}  # a micro-batch is all in the loop


def test_more_micro_batches_do_not_make_a_larger_graph():
    def size(gradient_accumulation_steps):
        program = graph_of(gradient_accumulation_steps).as_graph_def()
        return len(program.node) + sum(len(f.node_def) for f in program.library.function)

    assert size(8) < 1.2 * size(2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_dropout_seeds_advance_with_every_micro_batch(jit_compile):
    model = fresh_model()
    (seed,) = [v for v in model.variables if v.name == "seed_generator_state"]
    first, counter = np.asarray(seed)
    config = dataclasses.replace(CONFIG, gradient_accumulation_steps=2, jit_compile=jit_compile)
    steps_of(model, config)(features_of(3), False)
    assert np.asarray(seed).tolist() == [first, counter + 6]


@pytest.mark.parametrize(
    ("gradient_accumulation_steps", "jit_compile"), [(1, False), (2, False), (2, True)]
)
def test_a_mirrored_device_trains_like_a_single_device(gradient_accumulation_steps, jit_compile):
    config = dataclasses.replace(
        CONFIG, gradient_accumulation_steps=gradient_accumulation_steps, jit_compile=jit_compile
    )
    devices = Devices(DevicesConfig(strategy="mirrored", devices=("CPU:0",)))
    alone = fresh_model()
    with devices.scope():
        mirrored = fresh_model()
        run = steps_of(mirrored, config, devices)
    features = features_of(3)
    expected, found = steps_of(alone, config)(features, False), run(features, False)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)
    for a, b in zip(alone.variables, mirrored.variables, strict=True):
        rtol, atol = (1e-5, 1e-7) if jit_compile else (1e-6, 0)  # XLA compiles two programs
        np.testing.assert_allclose(a, devices.first_replica(b.value), rtol=rtol, atol=atol)


def test_without_a_clip_norm_gradients_are_not_changed():
    def trained(clip_norm):
        model = fresh_model()
        optimizer = dataclasses.replace(CONFIG.optimizer, clip_norm=clip_norm)
        steps_of(model, dataclasses.replace(CONFIG, optimizer=optimizer))(features_of(2), False)
        return [np.asarray(v) for v in model.trainable_variables]

    for none, high, low in zip(trained(0.0), trained(1e30), trained(1e-3), strict=True):
        np.testing.assert_array_equal(none, high)
        assert not np.array_equal(none, low)


def little(name, **objective_fields):
    """A family's objective, a fresh model, and the features of two examples."""
    family, row = FAMILIES[name], LITTLE[name]
    tokenizer = row.tokenizer()
    fields = dataclasses.replace(row.CONFIG.objective, **objective_fields)
    config = dataclasses.replace(row.CONFIG, objective=fields)
    objective = family.build_objective(config.objective, tokenizer)
    spec = objective.feature_spec()
    texts = Serializer(spec).serialize(make_examples(row, objective, tokenizer)[:2])
    model = build_model(family, config, tokenizer, seed=1)
    return objective, model, parse(tf.constant(texts), numeric_features(spec))


@pytest.mark.parametrize("name", FAMILIES)
def test_multiply_adds_are_most_of_the_graphs_multiplications(name):
    objective, model, batch = little(name)
    rows, time = batch["padding_mask"].shape
    forward = tf.function(lambda batch: model(batch, training=True), autograph=False)
    graph = forward.get_concrete_function(batch).graph
    counted = sum(map(_multiply_adds, graph.get_operations()))
    reported = rows * objective.multiply_adds(model, time)
    assert 0.5 * counted < reported <= counted


def _multiply_adds(operation):
    """Multiply-adds of a matrix product; 0 for others, and for ELMo's over distinct words."""
    if any(not each.shape.is_fully_defined() for each in operation.inputs):
        return 0.0
    if operation.type == "MatMul":
        transposed = operation.get_attr("transpose_a")
        inner = operation.inputs[0].shape[0 if transposed else 1]
    elif operation.type in ("BatchMatMulV2", "BatchMatMul"):
        inner = operation.inputs[0].shape[-2 if operation.get_attr("adj_x") else -1]
    elif operation.type == "Einsum":
        names = operation.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {
            name: size
            for labels, tensor in zip(names, operation.inputs, strict=True)
            for name, size in zip(labels, tensor.shape, strict=True)
        }
        return float(np.prod([float(size) for size in sizes.values()]))
    else:
        return 0.0
    return float(inner) * float(np.prod([float(n) for n in operation.outputs[0].shape]))


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2])
def test_a_bert_without_pairs_trains_all_weights_except_the_pooler(gradient_accumulation_steps):
    objective, model, features = little("bert", second_segment="none")
    config = dataclasses.replace(
        CONFIG, batch_size=2, gradient_accumulation_steps=gradient_accumulation_steps
    )
    before = {v.path: np.asarray(v) for v in model.trainable_variables}
    batch = {name: tf.stack([value] * 2) for name, value in features.items()}
    found = steps_of(model, config, objective=objective)(batch, False)
    assert np.isfinite(found["loss"]).all()
    assert np.isfinite(found["gradient_norm"]).all()
    same = {v.path for v in model.trainable_variables if np.array_equal(v, before[v.path])}
    assert same
    assert all("pooled_dense" in path for path in same)


ADAGRAD = dataclasses.replace(
    CONFIG,
    batch_size=2,
    optimizer=OptimizerConfig(
        kind="adagrad", learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=0.5
    ),
)


def test_the_gradient_of_elmos_sampled_softmax_has_only_the_sampled_words():
    objective, model, features = little("elmo", num_sampled=8)
    words, width = model.softmax.kernel.shape
    denominators, graphs = objective.denominators, []

    def kept(features):
        graphs.append(features["padding_mask"].graph)
        return denominators(features)

    objective.denominators = kept
    steps = steps_of(model, ADAGRAD, objective=objective)
    steps({name: value[tf.newaxis] for name, value in features.items()}, False)
    operations = graphs[0].get_operations()
    whole = [o for o in operations if any(t.shape == (words, width) for t in o.outputs)]
    assert not {o.type for o in whole} & {"UnsortedSegmentSum", "ReadVariableOp", "Square", "Sqrt"}
    assert "ResourceSparseApplyAdagradV2" in {operation.type for operation in operations}


def test_training_with_sparse_gradients_equals_training_with_dense_gradients():
    """On a mirrored device gradients are dense."""
    found = []
    for devices in (Devices(), Devices(DevicesConfig(strategy="mirrored", devices=("CPU:0",)))):
        with devices.scope():
            objective, model, features = little("elmo", num_sampled=8)
            run = steps_of(model, ADAGRAD, devices, objective)
        state = run({name: tf.stack([value] * 3) for name, value in features.items()}, False)
        values = [np.asarray(devices.first_replica(v.value)) for v in model.trainable_variables]
        found.append([state["loss"], state["gradient_norm"], *values])
    for sparse, dense in zip(*found, strict=True):
        np.testing.assert_allclose(sparse, dense, rtol=1e-5, atol=1e-6)


@pytest.mark.e2e
@pytest.mark.parametrize("name", FAMILIES)
def test_the_step_of_every_family_compiles_to_one_program_of_static_shapes(name):
    """As a TPU needs it: XLA compiles all of it, with static shapes and nothing on the host.

    `jit_compile` fails at operations that XLA lacks, such as those of strings and Python functions.
    """
    objective, model, features = little(name)
    batch = {name: value[tf.newaxis] for name, value in features.items()}
    config = dataclasses.replace(CONFIG, batch_size=2, jit_compile=True)
    optimizer = build_optimizer(config.optimizer, 10)
    optimizer.build(model.trainable_variables)
    before = [np.asarray(v) for v in model.trainable_variables]
    steps = compile_steps(model, objective, optimizer, config, Devices())
    found = steps(batch, False)
    assert np.isfinite(found["loss"].numpy()).all()
    assert any(
        not np.array_equal(a, b) for a, b in zip(before, model.trainable_variables, strict=True)
    )
    whole = tf.function(lambda batch: steps(batch, False), jit_compile=True, autograph=False)
    program = whole.experimental_get_compiler_ir(batch)(stage="hlo")
    assert len(program) > 10_000
    assert "[<=" not in program  # XLA writes a bound for a size that it does not know
    on_the_host = ("custom-call(", "infeed(", "outfeed(", "send(", "recv(")
    assert [word for word in on_the_host if word in program] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_in_bfloat16_with_weights_in_float32(name):
    def losses(policy):
        keras.config.set_dtype_policy(policy)
        try:
            objective, model, features = little(name)
        finally:
            keras.config.set_dtype_policy("float32")
        config = dataclasses.replace(CONFIG, batch_size=2)
        optimizer = build_optimizer(config.optimizer, 10)
        optimizer.build(model.trainable_variables)
        steps = compile_steps(model, objective, optimizer, config, Devices())
        batch = {name: tf.stack([value] * 2) for name, value in features.items()}
        found = steps(batch, False)["loss"].numpy()
        held_out = model(features, training=False)
        assert all(np.isfinite(value).all() for value in held_out.values())
        assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
        return found

    full, half = losses("float32"), losses("mixed_bfloat16")
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(half[0], full[0], rtol=0.05)
