"""Tests of how devices and processes share a batch, and of the errors about them."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf

from models.errors import ConfigError, Preempted
from models.training.config import DevicesConfig
from models.training.devices import Devices


class _Process(Devices):
    """One of several processes, without the others."""

    def __init__(self, workers: int, worker: int, replicas: int) -> None:
        super().__init__()
        self.workers, self.worker, self.replicas = workers, worker, replicas


@pytest.mark.parametrize(
    ("workers", "replicas", "expected"),
    [
        (1, 1, [range(12)]),
        (2, 2, [range(6), range(6, 12)]),
        (3, 6, [range(4), range(4, 8), range(8, 12)]),
    ],
)
def test_each_process_has_its_own_rows(workers: int, replicas: int, expected: list[range]) -> None:
    rows = [range(12)[_Process(workers, i, replicas).process_rows(12)] for i in range(workers)]
    assert rows == expected


@pytest.mark.parametrize(
    ("replicas", "gradient_accumulation_steps", "rows"),
    [(1, 1, 24), (1, 3, 8), (2, 1, 12), (4, 3, 2)],
)
def test_the_size_of_a_micro_batch(
    replicas: int, gradient_accumulation_steps: int, rows: int
) -> None:
    assert _Process(1, 0, replicas).micro_batch_size(24, gradient_accumulation_steps) == rows


@pytest.mark.parametrize(
    ("replicas", "gradient_accumulation_steps", "what", "where"),
    [
        (
            1,
            5,
            "a batch of 24 cannot be divided into 5 micro-batches",
            "training.gradient_accumulation_steps",
        ),
        (
            5,
            1,
            "a batch of 24 cannot be divided into equal parts on each of 5 devices",
            "training.batch_size",
        ),
        (
            2,
            8,
            "a batch of 24 cannot be divided into 8 micro-batches on each of 2 devices",
            "training.gradient_accumulation_steps",
        ),
    ],
)
def test_a_batch_that_cannot_be_divided_equally_is_refused(
    replicas: int, gradient_accumulation_steps: int, what: str, where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _Process(1, 0, replicas).micro_batch_size(24, gradient_accumulation_steps)
    assert caught.value.what == what
    assert caught.value.where == where


def test_a_single_device_is_the_chief_and_has_all_rows() -> None:
    devices = Devices()
    assert (devices.workers, devices.worker, devices.replicas) == (1, 0, 1)
    assert devices.chief
    features = {"a": tf.constant([[1], [2]])}
    assert devices.split_over_replicas(features, axis=0) is features
    assert devices.broadcast(7) == 7


def test_a_mirrored_device_gets_its_rows() -> None:
    devices = Devices(DevicesConfig(strategy="mirrored", devices=("CPU:0",)))
    shares = devices.split_over_replicas({"a": tf.constant([[[1], [2]]])}, axis=1)
    np.testing.assert_array_equal(devices.first_replica(shares["a"]), [[[1], [2]]])


def test_the_error_names_a_device_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"there is no device GPU:17; there are CPU:0") as caught:
        Devices(DevicesConfig(strategy="mirrored", devices=("CPU:0", "GPU:17")))
    assert caught.value.where == "devices.devices"


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_mirroring_without_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="TensorFlow sees no GPU"):
        Devices(DevicesConfig(strategy="mirrored"))


@pytest.mark.parametrize("config", [None, {"cluster": {"worker": ["a:1"]}}])
def test_several_processes_need_tf_config(monkeypatch: pytest.MonkeyPatch, config: object) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ConfigError, match="TF_CONFIG does not name") as caught:
        Devices(DevicesConfig(strategy="multi_worker"))
    assert caught.value.where == "devices.strategy"


def test_a_tpu_that_cannot_be_reached_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot connect to the TPU 'local'") as caught:
        Devices(DevicesConfig(strategy="tpu", tpu="local"))
    assert caught.value.where == "devices.tpu"


def test_a_lost_process_is_reported_only_if_there_are_several() -> None:
    lost = tf.errors.UnavailableError(None, None, "Connection reset by peer")
    with pytest.raises(Preempted, match="another process of this training has ended"):
        _raise_in(_Process(2, 1, 2), lost)
    with pytest.raises(tf.errors.UnavailableError):
        _raise_in(Devices(), lost)


def _raise_in(devices: Devices, error: Exception) -> None:
    with devices.report_lost_process():
        raise error


def test_matmul_rate_is_close_to_the_rate_of_a_matrix_product() -> None:
    rate = Devices().matmul_rate()
    matrix = tf.ones((1024, 1024))
    start = time.perf_counter()
    for _ in range(3):
        (matrix @ matrix).numpy()
    assert rate > 0.1 * 3 * 2 * 1024**3 / (time.perf_counter() - start)
    assert rate < 1e16
