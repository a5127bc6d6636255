import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batches import bucket_ends, example_batches
from models.config import DevicesConfig, TrainingConfig
from models.devices import Devices
from tests.testdata.summing import SummingObjective, write_examples

SPEC = SummingObjective().feature_spec()
CONFIG = TrainingConfig(batch_size=4, shuffle_buffer=8)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    for shard in range(3):
        write_examples(folder / f"examples-{shard}.gz", 20 + shard, rng)
    return [str(path) for path in sorted(folder.glob("*.gz"))]


def _labels(dataset):
    """The labels, which no two examples share, batch by batch."""
    return [batch["label"][:, 0].tolist() for batch in dataset.as_numpy_iterator()]


def _in_turn(dataset):
    """The labels, whatever their batches."""
    return list(itertools.chain.from_iterable(_labels(dataset)))


def _all_labels(files):
    records = tf.data.TFRecordDataset(sorted(files), "GZIP").as_numpy_iterator()
    examples = [tf.train.Example.FromString(record).features.feature for record in records]
    return [example["label"].float_list.value[0] for example in examples]


def test_the_order_is_a_function_of_seed_and_epoch(files):
    batches = example_batches(files, CONFIG, SPEC)
    first = _labels(batches(0, 0))
    assert first == _labels(batches(0, 0))
    assert first != _labels(batches(1, 0))
    other = example_batches(files, dataclasses.replace(CONFIG, seed=1), SPEC)
    assert first != _labels(other(0, 0))
    assert first == _labels(example_batches(files[::-1], CONFIG, SPEC)(0, 0))


@pytest.mark.parametrize("length_buckets", [1, 2])
def test_the_order_does_not_depend_on_the_number_of_readers(files, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)

    def read_by(readers):
        devices = Devices(DevicesConfig(readers=readers))
        return _labels(example_batches(files, config, SPEC, devices=devices)(0, 0))

    assert read_by(1) == read_by(2) == read_by(7) == read_by(100)


@pytest.mark.parametrize("length_buckets", [1, 2, 4])
def test_an_epoch_has_every_example_at_most_once(files, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)
    seen = _in_turn(example_batches(files, config, SPEC)(0, 0))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(_all_labels(files))
    assert len(_all_labels(files)) - len(seen) <= 3 * length_buckets


@pytest.mark.parametrize("length_buckets", [1, 2])
@pytest.mark.parametrize("done", [0, 1, 7])
def test_what_is_left_is_the_rest_of_the_epoch(files, done, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)
    batches = example_batches(files, config, SPEC)
    assert _labels(batches(3, done)) == _labels(batches(3, 0))[done:]


class _One(Devices):
    """A process of some."""

    def __init__(self, workers, worker):
        super().__init__()
        self.workers, self.worker = workers, worker


@pytest.mark.parametrize("length_buckets", [1, 2])
def test_processes_share_each_batch_with_nothing_twice_and_nothing_left(files, length_buckets):
    config = dataclasses.replace(CONFIG, length_buckets=length_buckets)

    def rows_of(worker):
        return list(
            example_batches(files, config, SPEC, devices=_One(2, worker))(0, 0).as_numpy_iterator()
        )

    whole = list(example_batches(files, config, SPEC)(0, 0).as_numpy_iterator())
    for batch, *parts in zip(whole, rows_of(0), rows_of(1), strict=True):
        for name, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), value)


def test_batches_are_cut_to_the_length_of_their_bucket(files):
    config = dataclasses.replace(CONFIG, length_buckets=2)
    lengths = set()
    for batch in example_batches(files, config, SPEC)(0, 0).as_numpy_iterator():
        mask = batch["padding_mask"]
        real = mask.sum(axis=1)
        lengths.add(mask.shape[1])
        assert mask.shape[1] == (2 if real.max() <= 2 else 4)
        assert np.all(real <= 2) or np.all(real > 2)
        assert batch["label"].shape == (4, 1)
    assert lengths == {2, 4}


@given(st.integers(1, 600), st.integers(1, 40))
@settings(deadline=None)
def test_bucket_ends_are_evenly_spaced_up_to_the_longest(time, buckets):
    ends = bucket_ends(time, buckets)
    assert ends[-1] == time
    assert ends == sorted(set(ends))
    assert min(ends) >= 1
    assert np.all(np.diff([0, *ends]) <= -(-time // buckets))


def test_bucket_ends_of_a_hundred_and_twenty_eight():
    assert bucket_ends(128, 4) == [32, 64, 96, 128]
    assert bucket_ends(128, 1) == [128]
    assert bucket_ends(10, 4) == [3, 5, 8, 10]


def test_streams_keep_the_order_of_their_file(files):
    of_file = [_all_labels([name]) for name in files[:2]]
    config = dataclasses.replace(CONFIG, batch_size=1)
    batches = example_batches(files[:2], config, SPEC, streams=1)
    orders = {tuple(_in_turn(batches(epoch, 0))) for epoch in range(8)}
    assert orders == {tuple(of_file[0] + of_file[1]), tuple(of_file[1] + of_file[0])}
