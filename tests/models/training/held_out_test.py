"""Tests of the loss on held-out examples, and of the parts that it is computed in."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from models.examples import Serializer, parse
from models.objective import Loss, numeric_features
from models.registry import FAMILIES
from models.training import held_out
from models.training.config import TrainingConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss
from tests.testdata.little_families import LITTLE, build_model, make_examples
from tests.testdata.summing import SummingObjective, fresh_model, write_examples

CONFIG = TrainingConfig(batch_size=4)


@pytest.fixture(name="file")
def _file(tmp_path: pathlib.Path) -> str:
    """A file of seven examples."""
    write_examples(tmp_path / "eval.gz", 7, np.random.default_rng(1))
    return str(tmp_path / "eval.gz")


@pytest.mark.parametrize(("batches", "seen"), [(50, 7), (1, 4)])
def test_the_loss_is_a_ratio_of_sums_in_numpy(file: str, batches: int, seen: int) -> None:
    model = fresh_model()
    hidden_w, hidden_b, out_w, out_b = [w.numpy() for w in model.trainable_variables]
    config = TrainingConfig(batch_size=4, eval_batches=batches)
    held_out = HeldOutLoss(model, SummingObjective(), [file], config)
    squares = count = 0.0
    records = list(tf.data.TFRecordDataset(file, "GZIP").as_numpy_iterator())
    for record in records[:seen]:
        feature = tf.train.Example.FromString(record).features.feature
        mask = np.array(feature["padding_mask"].int64_list.value, np.float64)
        label = feature["label"].float_list.value[0]
        prediction = ((mask * label) @ hidden_w + hidden_b) @ out_w + out_b
        squares += (prediction[0] - label) ** 2 * mask.sum()
        count += mask.sum()
    assert held_out() == pytest.approx(squares / count, rel=1e-5)
    assert held_out() == held_out()  # no dropout


def test_all_processes_sum_the_terms_in_the_same_order(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of a set of strings differs between processes, which would mix up the sums."""
    names = [f"sum_{number}" for number in range(9)]
    terms = [Loss(name, "count") for name in names]
    objective = SummingObjective()
    monkeypatch.setattr(objective, "losses", lambda: terms)
    sums = {name: float(number) for number, name in enumerate(names)} | {"count": 100.0}

    def model(features, training):
        return {name: tf.constant([value]) for name, value in sums.items()}

    devices = Devices()
    reduced = []
    monkeypatch.setattr(
        devices.strategy, "reduce", lambda how, value, axis: reduced.append(value) or value
    )
    with monkeypatch.context() as eager:
        eager.setattr(tf, "function", lambda **_: lambda function: function)
        held_out = HeldOutLoss(model, objective, [file], CONFIG, devices)
    held_out()
    first, _ = reduced  # one sum over all devices for each batch
    assert first.numpy().tolist() == [0.0, 100.0, *map(float, range(1, 9))]


@pytest.mark.parametrize(
    ("gradient_accumulation_steps", "logits", "sizes"),
    [(1, 2**23, [4, 3]), (2, 2**23, [2, 2, 2, 1]), (1, 25, [3, 3, 1]), (1, 1, [1] * 7)],
)
def test_parts_of_a_batch_are_limited_by_micro_batches_and_by_logits(
    file: str,
    gradient_accumulation_steps: int,
    logits: int,
    sizes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainingConfig(batch_size=4, gradient_accumulation_steps=gradient_accumulation_steps)
    model, objective = fresh_model(), SummingObjective()
    whole = HeldOutLoss(model, objective, [file], CONFIG)()
    monkeypatch.setattr(held_out, "_MAX_LOGITS", logits)
    parts = HeldOutLoss(model, objective, [file], config)
    assert [len(part["label"]) for part in parts._batches] == sizes
    assert parts() == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_example_has_the_logits_that_evaluation_computes(name: str) -> None:
    family, little = FAMILIES[name], LITTLE[name]
    tokenizer = little.tokenizer()
    objective = family.build_objective(little.CONFIG.objective, tokenizer)
    model = build_model(family, little.CONFIG, tokenizer, seed=1)
    spec = objective.feature_spec()
    texts = Serializer(spec).serialize(make_examples(little, objective, tokenizer)[:2])
    features = parse(tf.constant(texts), numeric_features(spec))
    evaluate = tf.function(lambda features: model(features, training=False), autograph=False)
    operations = evaluate.get_concrete_function(features).graph.get_operations()
    products = [
        operation.outputs[0].shape
        for operation in operations
        if operation.type in ("MatMul", "BatchMatMulV2", "Einsum")
    ]
    logits = [s.num_elements() for s in products if s[-1] == len(tokenizer.vocabulary)]
    assert sum(logits) == 2 * objective.logits_per_example()
