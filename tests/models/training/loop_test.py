"""Tests of the training loop: exact resume, SIGTERM, the batch's loss, and its errors."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from models.errors import ConfigError, Preempted, TrainingDiverged
from models.examples import Serializer
from models.registry import FAMILIES
from models.training.batches import example_batches
from models.training.config import OptimizerConfig, TrainingConfig
from models.training.loop import train
from tests.testdata.example_files import index_files
from tests.testdata.little_families import LITTLE, build_model, make_examples
from tests.testdata.summing import TIME, SummingObjective, fresh_model, write_examples

SPEC = SummingObjective().feature_spec()
CONFIG = TrainingConfig(
    steps=7,
    batch_size=4,
    jit_compile=False,
    log_steps=1,
    shuffle_buffer=8,
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=2),
)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory):
    """19 examples: four batches, so that seven steps are two epochs."""
    folder, rng = tmp_path_factory.mktemp("examples"), np.random.default_rng(0)
    for shard in range(2):
        write_examples(folder / f"examples-{shard}.gz", 9 + shard, rng)
    return index_files([str(path) for path in sorted(folder.glob("*.gz"))])


@pytest.fixture(name="uninterrupted", scope="module")
def _uninterrupted(files, tmp_path_factory):
    """The weights of a run that is neither killed nor resumed."""
    model, folder = fresh_model(), tmp_path_factory.mktemp("whole")
    train(model, SummingObjective(), example_batches(files, CONFIG, SPEC), CONFIG, folder)
    return _weights(model)


def _weights(model):
    return [w.numpy() for w in model.trainable_variables]


class _Killed(BaseException):
    pass


def _after(batches, steps, act):
    """The same batches; calls `act` when the batch after `steps` batches is requested."""
    remaining = [steps]

    def stopping(epoch, done):
        def count(batch):
            if remaining[0] == 0:
                act()
            remaining[0] -= 1
            return batch

        return _Counting(batches(epoch, done), count)

    return stopping


def _stops_after(batches, steps):
    """The same batches, until the process 'is killed' before the step after `steps`."""

    def die():
        raise _Killed

    return _after(batches, steps, die)


class _Counting:
    """A dataset that calls a function for each batch; has only what `train` uses of a dataset."""

    def __init__(self, dataset, count):
        self.dataset, self.count = dataset, count

    def take(self, n):
        return _Counting(self.dataset.take(n), self.count)

    def __iter__(self):
        return map(self.count, iter(self.dataset))


@pytest.mark.e2e
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_ends_with_the_same_weights_when_it_was_killed(name, tmp_path):
    family, little = FAMILIES[name], LITTLE[name]
    tokenizer = little.tokenizer()
    objective = family.build_objective(little.CONFIG.objective, tokenizer)
    serializer = Serializer(objective.feature_spec())
    for file in ("a", "b"):
        with tf.io.TFRecordWriter(str(tmp_path / file), tf.io.TFRecordOptions("GZIP")) as writer:
            for serialized in serializer.serialize(make_examples(little, objective, tokenizer)):
                writer.write(serialized)
    config = dataclasses.replace(CONFIG, batch_size=2, checkpoint_seconds=0.0)
    files = index_files([str(tmp_path / "a"), str(tmp_path / "b")])
    batches = example_batches(files, config, objective.feature_spec(), objective.streams)

    def run(folder, batches):
        model = build_model(family, little.CONFIG, tokenizer, seed=1)
        train(model, objective, batches, config, tmp_path / folder)
        return model

    whole = run("whole", batches)
    with pytest.raises(_Killed):
        run("killed", _stops_after(batches, 4))
    resumed = run("killed", batches)
    assert len(whole.variables) == len(resumed.variables)
    for expected, found in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=expected.path)


@pytest.mark.parametrize("killed_after", [1, 2, 3, 5, 6])
def test_a_killed_run_ends_with_bit_identical_weights(files, uninterrupted, tmp_path, killed_after):
    config = dataclasses.replace(CONFIG, checkpoint_seconds=0.0)
    batches = example_batches(files, config, SPEC)
    with pytest.raises(_Killed):
        train(
            fresh_model(),
            SummingObjective(),
            _stops_after(batches, killed_after),
            config,
            tmp_path / "killed",
        )
    resumed = fresh_model()
    result = train(resumed, SummingObjective(), batches, config, tmp_path / "killed")
    assert result.resumed_from == killed_after
    for a, b in zip(uninterrupted, _weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("steps", [0, 3, 6])
def test_a_run_that_receives_sigterm_saves_the_step_it_is_in(files, uninterrupted, tmp_path, steps):
    config = dataclasses.replace(CONFIG, checkpoint_seconds=3600.0)
    batches = example_batches(files, config, SPEC)
    before = signal.getsignal(signal.SIGTERM)
    terminated = _after(batches, steps, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted, match=f"saved a checkpoint at step {steps + 1} of 7"):
        train(fresh_model(), SummingObjective(), terminated, config, tmp_path / "run")
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = fresh_model()
    result = train(resumed, SummingObjective(), batches, config, tmp_path / "run")
    assert result.resumed_from == steps + 1
    for a, b in zip(uninterrupted, _weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(files, uninterrupted, tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_seconds=0.0)
    batches = example_batches(files, config, SPEC)
    killed = _stops_after(batches, 5)
    with pytest.raises(_Killed):
        train(fresh_model(), SummingObjective(), killed, config, tmp_path / "killed")
    (data,) = (tmp_path / "killed").glob("ckpt-5.data*")
    data.write_bytes(data.read_bytes()[:-1])
    resumed = fresh_model()
    result = train(resumed, SummingObjective(), batches, config, tmp_path / "killed")
    assert result.resumed_from == 4
    for a, b in zip(uninterrupted, _weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_is_not_trained_again(files, tmp_path):
    batches = example_batches(files, CONFIG, SPEC)
    first = fresh_model()
    train(first, SummingObjective(), batches, CONFIG, tmp_path)
    again = fresh_model()
    result = train(again, SummingObjective(), batches, CONFIG, tmp_path)
    assert result.resumed_from == 7
    for a, b in zip(_weights(first), _weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_is_the_whole_batchs_ratio_in_numpy(files, tmp_path):
    optimizer = dataclasses.replace(CONFIG.optimizer, warmup_steps=0)
    config = dataclasses.replace(CONFIG, steps=1, optimizer=optimizer)
    model = fresh_model(dropout=0.0)
    (hidden_w, hidden_b, out_w, out_b) = _weights(model)
    batches = example_batches(files, config, SPEC)
    result = train(model, SummingObjective(), batches, config, tmp_path)
    squares = count = 0.0
    batch = next(batches(0, 0).as_numpy_iterator())
    for mask, (label,) in zip(batch["padding_mask"], batch["label"], strict=True):
        prediction = ((mask * label) @ hidden_w + hidden_b) @ out_w + out_b
        squares += (prediction[0] - label) ** 2 * mask.sum()
        count += mask.sum()
    assert result.losses["loss"] == pytest.approx(squares / count, rel=1e-5)


@pytest.mark.parametrize("gradient_accumulation_steps", [2, 4])
def test_gradient_accumulation_trains_as_one_batch_does(
    files, tmp_path, gradient_accumulation_steps
):
    batches = example_batches(files, CONFIG, SPEC)
    whole, parts = fresh_model(dropout=0.0), fresh_model(dropout=0.0)
    train(whole, SummingObjective(), batches, CONFIG, tmp_path / "whole")
    config = dataclasses.replace(CONFIG, gradient_accumulation_steps=gradient_accumulation_steps)
    train(parts, SummingObjective(), batches, config, tmp_path / "parts")
    for a, b in zip(_weights(whole), _weights(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_compiled_with_xla_it_trains_the_same(files, tmp_path):
    batches = example_batches(files, CONFIG, SPEC)
    plain, compiled = fresh_model(dropout=0.0), fresh_model(dropout=0.0)
    train(plain, SummingObjective(), batches, CONFIG, tmp_path / "plain")
    config = dataclasses.replace(CONFIG, jit_compile=True)
    train(compiled, SummingObjective(), batches, config, tmp_path / "compiled")
    for a, b in zip(_weights(plain), _weights(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_every_logged_step_is_one_record_also_after_a_kill(files, tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_seconds=3600.0)
    batches = example_batches(files, config, SPEC)
    with pytest.raises(_Killed):
        train(fresh_model(), SummingObjective(), _stops_after(batches, 3), config, tmp_path)
    train(fresh_model(), SummingObjective(), batches, config, tmp_path)
    lines = (tmp_path / "logs" / "training.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6, 7]
    assert set(records[0]) == {
        "step", "loss", "squares", "learning_rate", "gradient_norm", "tokens_per_second",
        "padding_share", "matmul_utilization", "seconds",
    }  # fmt: skip


def test_divergence_stops_with_the_step_and_a_remedy(files, tmp_path):
    model = fresh_model()
    model.trainable_variables[0].assign(np.full((TIME, 8), np.inf, np.float32))
    with pytest.raises(TrainingDiverged) as caught:
        train(model, SummingObjective(), example_batches(files, CONFIG, SPEC), CONFIG, tmp_path)
    assert caught.value.where == "training step 1"
    assert "learning_rate" in caught.value.remedy


def test_a_batch_larger_than_the_examples_is_refused(files, tmp_path):
    config = dataclasses.replace(CONFIG, batch_size=20)
    with pytest.raises(ConfigError, match="do not fill one batch of 20"):
        train(
            fresh_model(),
            SummingObjective(),
            example_batches(files, config, SPEC),
            config,
            tmp_path,
        )
