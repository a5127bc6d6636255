"""Tests of batches: their order, what processes share, and which files are opened."""

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.batches import bucket_ends, example_batches
from models.training.config import TrainingConfig
from models.training.devices import Devices
from tests.testdata.example_files import index_files
from tests.testdata.summing import SummingObjective, write_examples

SPEC = SummingObjective().feature_spec()
CONFIG = TrainingConfig(batch_size=4, shuffle_buffer=8)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    for shard in range(3):
        write_examples(folder / f"examples-{shard}.gz", 20 + shard, rng)
    return index_files([str(path) for path in sorted(folder.glob("*.gz"))])


def _labels(dataset):
    """The labels of each batch; no two examples have the same label."""
    return [batch["label"][:, 0].tolist() for batch in dataset.as_numpy_iterator()]


def _in_turn(dataset):
    """The labels of all batches in their order."""
    return list(itertools.chain.from_iterable(_labels(dataset)))


def _all_labels(files):
    records = tf.data.TFRecordDataset(sorted(files), "GZIP").as_numpy_iterator()
    examples = [tf.train.Example.FromString(record).features.feature for record in records]
    return [example["label"].float_list.value[0] for example in examples]


def test_the_order_depends_only_on_seed_and_epoch(files):
    batches = example_batches(files, CONFIG, SPEC)
    first = _labels(batches(0, 0))
    assert first == _labels(batches(0, 0))
    assert first != _labels(batches(1, 0))
    other = example_batches(files, dataclasses.replace(CONFIG, seed=1), SPEC)
    assert first != _labels(other(0, 0))
    assert first == _labels(example_batches(files[::-1], CONFIG, SPEC)(0, 0))


@pytest.mark.parametrize("length_buckets", [1, 2, 4])
def test_an_epoch_has_every_example_at_most_once(files, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)
    seen = _in_turn(example_batches(files, config, SPEC)(0, 0))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(_all_labels(files))
    assert len(_all_labels(files)) - len(seen) == 63 % 4


@pytest.mark.parametrize("length_buckets", [1, 2])
@pytest.mark.parametrize("done", [0, 1, 7])
def test_the_remaining_batches_are_those_of_the_whole_epoch(files, done, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)
    batches = example_batches(files, config, SPEC)
    assert _labels(batches(3, done)) == _labels(batches(3, 0))[done:]


class _Process(Devices):
    """One of several processes."""

    def __init__(self, workers, worker):
        super().__init__()
        self.workers, self.worker = workers, worker


@pytest.mark.parametrize("length_buckets", [1, 2])
def test_processes_divide_each_batch_completely(files, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)

    def rows_of(worker):
        batches = example_batches(files, config, SPEC, devices=_Process(2, worker))
        return list(batches(0, 0).as_numpy_iterator())

    whole = list(example_batches(files, config, SPEC)(0, 0).as_numpy_iterator())
    for batch, *parts in zip(whole, rows_of(0), rows_of(1), strict=True):
        for name, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), value)


@pytest.mark.parametrize(("length_buckets", "streams"), [(1, None), (2, None), (1, 8)])
def test_files_that_were_trained_on_are_not_opened_again(tmp_path, length_buckets, streams):
    rng = np.random.default_rng(1)
    for shard in range(8):
        write_examples(tmp_path / f"{shard}.gz", 8, rng)
    files = index_files([str(path) for path in sorted(tmp_path.glob("*.gz"))])
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)
    batches = example_batches(files, config, SPEC, streams)
    expected = _labels(batches(0, 0))
    in_file = {label: path for path in files for label in _all_labels([path])}
    for done in (14, 15, 16):
        # A lane is read in whole blocks of two batches, whose first batch may be skipped.
        first = done if streams else done - done % 2
        needed = {in_file[label] for batch in expected[first:] for label in batch}
        assert len(needed) < len(files)
        for path in {*files} - needed:
            pathlib.Path(path).write_bytes(b"no TFRecord")
        assert _labels(batches(0, done)) == expected[done:]


def test_files_that_are_not_needed_are_not_opened(tmp_path):
    rng = np.random.default_rng(1)
    for shard in range(100):
        write_examples(tmp_path / f"{shard:03d}.gz", 4, rng)
    files = index_files([str(path) for path in sorted(tmp_path.glob("*.gz"))])
    for path in files:
        pathlib.Path(path).unlink()
    batches = example_batches(files, CONFIG, SPEC)
    assert _labels(batches(0, 100)) == []
    assert _labels(batches(5, 999)) == []


def test_a_process_opens_only_the_files_of_its_own_rows(tmp_path):
    rng = np.random.default_rng(2)
    for shard in range(8):
        write_examples(tmp_path / f"{shard}.gz", 8, rng)
    files = index_files([str(path) for path in sorted(tmp_path.glob("*.gz"))])
    whole = _labels(example_batches(files, CONFIG, SPEC)(0, 0))
    in_file = {label: path for path in files for label in _all_labels([path])}
    for worker in (0, 1):
        own = [batch[2 * worker : 2 * worker + 2] for batch in whole]
        needed = {in_file[label] for batch in own for label in batch}
        assert len(needed) == 4
        others = {path: pathlib.Path(path).read_bytes() for path in {*files} - needed}
        for path in others:
            pathlib.Path(path).write_bytes(b"no TFRecord")
        found = example_batches(files, CONFIG, SPEC, devices=_Process(2, worker))(0, 0)
        assert _labels(found) == own
        for path, content in others.items():
            pathlib.Path(path).write_bytes(content)


def test_batches_are_cut_to_the_length_of_their_bucket(files):
    config = dataclasses.replace(CONFIG, length_buckets=2)
    lengths = set()
    for batch in example_batches(files, config, SPEC)(0, 0).as_numpy_iterator():
        mask = batch["padding_mask"]
        real = mask.sum(axis=1)
        lengths.add(mask.shape[1])
        assert mask.shape[1] == (2 if real.max() <= 2 else 4)
        assert batch["label"].shape == (4, 1)
    assert lengths == {2, 4}


@given(st.integers(1, 600), st.integers(1, 40))
@settings(deadline=None)
def test_bucket_ends_are_evenly_spaced_up_to_the_longest(length, buckets):
    ends = bucket_ends(length, buckets)
    assert ends[-1] == length
    assert ends == sorted(set(ends))
    assert min(ends) >= 1
    assert np.all(np.diff([0, *ends]) <= -(-length // buckets))


def test_bucket_ends_of_some_lengths():
    assert bucket_ends(128, 4) == [32, 64, 96, 128]
    assert bucket_ends(128, 1) == [128]
    assert bucket_ends(10, 4) == [3, 5, 8, 10]


def test_streams_keep_the_order_of_their_file(files):
    of_file = [_all_labels([name]) for name in files[:2]]
    config = dataclasses.replace(CONFIG, batch_size=1)
    batches = example_batches(files[:2], config, SPEC, streams=1)
    orders = {tuple(_in_turn(batches(epoch, 0))) for epoch in range(8)}
    assert orders == {tuple(of_file[0] + of_file[1]), tuple(of_file[1] + of_file[0])}


@pytest.mark.parametrize("length_buckets", [1, 2])
def test_prepare_gets_the_number_of_rows_that_are_computed_at_once(files, length_buckets):
    config = dataclasses.replace(
        CONFIG, gradient_accumulation_steps=2, length_buckets=length_buckets
    )

    def prepare(features, rows):
        parts = tf.reshape(features["label"], [-1, rows])
        return {**features, "first": tf.repeat(parts[:, :1], rows, axis=0)}

    plain = example_batches(files, config, SPEC)(0, 0).as_numpy_iterator()
    made = example_batches(files, config, SPEC, prepare=prepare)(0, 0).as_numpy_iterator()
    for before, after in zip(plain, made, strict=True):
        label = before["label"][:, 0].tolist()
        assert after["label"][:, 0].tolist() == label
        assert after["first"][:, 0].tolist() == [label[0]] * 2 + [label[2]] * 2
