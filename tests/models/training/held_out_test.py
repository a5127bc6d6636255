import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from models.errors import ConfigError
from models.examples import Serializer, parse
from models.objective import Loss, numeric_features
from models.registry import FAMILIES
from models.training import held_out
from models.training.batches import example_batches
from models.training.config import OptimizerConfig, TrainingConfig
from models.training.devices import Devices
from models.training.held_out import HeldOutLoss
from models.training.loop import train
from tests.testdata.example_files import index_files
from tests.testdata.little_families import LITTLE, build_model, make_examples
from tests.testdata.summing import SummingObjective, fresh_model, write_examples

CONFIG = TrainingConfig(
    steps=12,
    batch_size=4,
    jit_compile=False,
    log_steps=100,
    shuffle_buffer=8,
    checkpoint_seconds=0.0,
    eval_steps=2,
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=0),
)


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> list[str]:
    write_examples(tmp_path / "train.gz", 11, np.random.default_rng(0))
    write_examples(tmp_path / "eval.gz", 7, np.random.default_rng(1))
    return index_files([str(tmp_path / "train.gz")])


def losses(*given: float):
    """Gives one after the other, then no more."""
    left = list(given)
    return lambda: left.pop(0)


class Killed(BaseException):
    pass


def then_killed(*given: float):
    """Gives one after the other, then the process dies."""
    left = list(given)

    def look() -> float:
        if not left:
            raise Killed
        return left.pop(0)

    return look


def records(folder: pathlib.Path) -> list[dict[str, float]]:
    lines = (folder / "logs" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def weights(model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.trainable_variables]


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def run(files: list[str], folder: pathlib.Path, config: TrainingConfig, held_out):
    model = fresh_model()
    objective = SummingObjective()
    batches = example_batches(files, config, objective.feature_spec())
    result = train(model, objective, batches, config, folder, held_out)
    return model, result


@pytest.mark.parametrize(("batches", "seen"), [(50, 7), (1, 4)])
def test_the_loss_is_a_ratio_of_sums_in_numpy(
    files: list[str], tmp_path: pathlib.Path, batches: int, seen: int
) -> None:
    model = fresh_model()
    hidden_w, hidden_b, out_w, out_b = weights(model)
    config = TrainingConfig(batch_size=4, eval_batches=batches)
    held_out = HeldOutLoss(model, SummingObjective(), [str(tmp_path / "eval.gz")], config)
    squares = count = 0.0
    records = list(tf.data.TFRecordDataset(str(tmp_path / "eval.gz"), "GZIP").as_numpy_iterator())
    for record in records[:seen]:
        feature = tf.train.Example.FromString(record).features.feature
        mask = np.array(feature["padding_mask"].int64_list.value, np.float64)
        label = feature["label"].float_list.value[0]
        prediction = ((mask * label) @ hidden_w + hidden_b) @ out_w + out_b
        squares += (prediction[0] - label) ** 2 * mask.sum()
        count += mask.sum()
    assert held_out() == pytest.approx(squares / count, rel=1e-5)
    assert held_out() == held_out()  # no dropout


def test_processes_add_up_the_sums_in_the_order_of_the_terms(
    files: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever PYTHONHASHSEED is: in a set of strings numerators met another process's counts."""
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
        held_out = HeldOutLoss(model, objective, [str(tmp_path / "eval.gz")], CONFIG, devices)
    held_out()
    first, _ = reduced  # one sum over all devices for each batch
    assert first.numpy().tolist() == [0.0, 100.0, *map(float, range(1, 9))]


@pytest.mark.parametrize(
    ("gradient_accumulation_steps", "logits", "sizes"),
    [(1, 2**23, [4, 3]), (2, 2**23, [2, 2, 2, 1]), (1, 25, [3, 3, 1]), (1, 1, [1] * 7)],
)
def test_no_part_of_a_look_is_larger_than_trainings_or_evaluates(
    files: list[str],
    tmp_path: pathlib.Path,
    gradient_accumulation_steps: int,
    logits: int,
    sizes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TrainingConfig(batch_size=4, gradient_accumulation_steps=gradient_accumulation_steps)
    model, objective, evaluated = fresh_model(), SummingObjective(), [str(tmp_path / "eval.gz")]
    whole = HeldOutLoss(model, objective, evaluated, CONFIG)()
    monkeypatch.setattr(held_out, "_LOGITS", logits)
    parts = HeldOutLoss(model, objective, evaluated, config)
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
    evaluate = tf.function(lambda given: model(given, training=False), autograph=False)
    operations = evaluate.get_concrete_function(features).graph.get_operations()
    products = [
        operation.outputs[0].shape
        for operation in operations
        if operation.type in ("MatMul", "BatchMatMulV2", "Einsum")
    ]
    logits = [s.num_elements() for s in products if s[-1] == len(tokenizer.vocabulary)]
    assert sum(logits) == 2 * objective.logits_per_example()


def test_the_weights_of_the_lowest_loss_are_the_models(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    model, result = run(files, tmp_path / "a", CONFIG, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    assert result.steps == 12
    config = dataclasses.replace(CONFIG, steps=4, eval_steps=0)
    assert not same(model, run(files, tmp_path / "b", config, None)[0])  # another schedule
    optimizer = dataclasses.replace(CONFIG.optimizer, schedule="constant")
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    model, _ = run(files, tmp_path / "c", config, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    config = dataclasses.replace(config, steps=4, eval_steps=0)
    assert same(model, run(files, tmp_path / "d", config, None)[0])


def test_what_was_found_is_recorded(files: list[str], tmp_path: pathlib.Path) -> None:
    run(files, tmp_path, CONFIG, losses(3.0, 1.0, 2.0, 2.5, 1.0, 4.0))
    found = [(record["step"], record["held_out_loss"]) for record in records(tmp_path)]
    assert found == [(2, 3.0), (4, 1.0), (6, 2.0), (8, 2.5), (10, 1.0), (12, 4.0)]


def test_training_ends_early_and_stays_ended(files: list[str], tmp_path: pathlib.Path) -> None:
    config = dataclasses.replace(CONFIG, patience=2)
    model, result = run(files, tmp_path, config, losses(3.0, 1.0, 1.0, 2.0))
    assert result.steps == 8
    assert [record["step"] for record in records(tmp_path)] == [2, 4, 6, 8]
    again, result = run(files, tmp_path, config, losses())
    assert result.steps == 8
    assert same(model, again)


@pytest.mark.parametrize("looks", [1, 2, 3, 4])
def test_a_killed_run_ends_with_the_same_best_weights(
    files: list[str], tmp_path: pathlib.Path, looks: int
) -> None:
    given = (3.0, 1.0, 0.5, 2.0, 1.5, 4.0)
    whole, _ = run(files, tmp_path / "whole", CONFIG, losses(*given))

    with pytest.raises(Killed):
        run(files, tmp_path / "killed", CONFIG, then_killed(*given[:looks]))
    resumed, result = run(files, tmp_path / "killed", CONFIG, losses(*given[looks:]))
    assert result.resumed_from == 2 * looks + 1
    assert same(whole, resumed)


def test_the_best_weights_that_are_damaged_are_missed(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    run(files, tmp_path, CONFIG, losses(1.0, 2.0, 2.0, 2.0, 2.0, 2.0))
    (data,) = (tmp_path / "best").glob("ckpt-2.data*")
    data.write_bytes(b"")
    with pytest.raises(ConfigError, match="the weights of step 2, the best ones, are lost"):
        run(files, tmp_path, CONFIG, losses())


def test_that_the_best_weights_are_lost_is_told_before_training_goes_on(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(Killed):
        run(files, tmp_path, CONFIG, then_killed(1.0, 2.0, 3.0))
    shutil.rmtree(tmp_path / "best")
    with pytest.raises(ConfigError, match="the weights of step 2, the best ones, are lost"):
        run(files, tmp_path, CONFIG, losses())  # no look is taken


def test_best_weights_that_are_newer_than_the_checkpoint_are_found_again(
    files: list[str], tmp_path: pathlib.Path
) -> None:
    rarely = dataclasses.replace(CONFIG, checkpoint_seconds=3600.0)
    given = (3.0, 2.0, 1.0, 4.0, 4.0, 4.0)
    whole, _ = run(files, tmp_path / "whole", rarely, losses(*given))

    with pytest.raises(Killed):
        run(files, tmp_path / "killed", rarely, then_killed(*given[:5]))
    assert list((tmp_path / "killed" / "best").iterdir())
    resumed, result = run(files, tmp_path / "killed", rarely, losses(*given))
    assert result.resumed_from == 0
    assert same(whole, resumed)


def test_patience_needs_something_to_look_at(files: list[str], tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as error:
        run(files, tmp_path, dataclasses.replace(CONFIG, patience=1), None)
    assert error.value.where == "training.patience"
