"""Where training computes: one device, several, several processes or a TPU, by tf.distribute.

Every replica has the whole model and computes an equal share of each batch's rows; gradients are
summed over all of them. So a batch has the same gradient, rounding apart, wherever it is computed.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from models.errors import ConfigError, Preempted
from models.training.config import DevicesConfig, equal_rows

Features = Mapping[str, tf.Tensor]

_PEAK_SECONDS = 0.04  # a product takes at least, which starting it does not
_LARGEST = 16_384

_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Devices:
    """The devices of a training run and this process's part in it.

    A process that is one of several opens them before TensorFlow does anything else in it.

    Args:
        config: which devices.

    Attributes:
        config: as given.
        strategy: tf.distribute's.
        replicas: of the model, over all processes.
        workers: processes, all of which run the same program.
        worker: which one of them this is; 0 is the chief, which writes what all share.

    Raises:
        ConfigError: there are no such devices.
    """

    def __init__(self, config: DevicesConfig = DevicesConfig()) -> None:  # noqa: B008
        self.config = config
        self.workers, self.worker = 1, 0
        if config.strategy == "one":
            self.strategy = tf.distribute.get_strategy()
        elif config.strategy == "mirrored":
            self.strategy = _mirrored(config.devices)
        elif config.strategy == "multi_worker":
            self.workers, self.worker = _place()
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            self.strategy = _tpu(config.tpu)
        self.replicas: int = self.strategy.num_replicas_in_sync

    @property
    def chief(self) -> bool:
        """Whether this process writes what all share."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """In it the model and its optimizer are made."""
        return self.strategy.scope()

    @contextlib.contextmanager
    def all_there(self) -> Iterator[None]:
        """Tells of another process's end in our words, where the devices are several processes'.

        Raises:
            Preempted: a process that computes with this one is gone.
        """
        try:
            yield
        except _GONE as error:
            if self.workers == 1:
                raise
            fault = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise Preempted(
                "another process of this training is gone; training goes on from its last "
                f"checkpoint ({fault:.200})",
                where=f"process {self.worker} of {self.workers}",
                remedy="give the same command again",
            ) from error

    def rows_at_once(self, batch_size: int, gradient_accumulation_steps: int = 1) -> int:
        """Rows that a replica computes at once of a batch of `batch_size`.

        Raises:
            ConfigError: the batch does not come out even.
        """
        return equal_rows(batch_size, gradient_accumulation_steps, self.replicas)

    def own_rows(self, batch_size: int) -> slice:
        """The rows of a batch that this process's replicas compute, which no other one does."""
        rows = batch_size // self.workers
        return slice(self.worker * rows, (self.worker + 1) * rows)

    def spread(self, features: Features, axis: int) -> Any:
        """Gives each of this process's replicas its share of the process's rows.

        Args:
            features: tensors that all have the rows on `axis`.
            axis: of the rows.
        """
        if self.config.strategy == "one":
            return features
        replicas = self.replicas // self.workers
        shares = {name: tf.split(value, replicas, axis) for name, value in features.items()}

        def share(context: tf.distribute.ValueContext) -> Features:
            place = context.replica_id_in_sync_group - self.worker * replicas
            return {name: parts[place] for name, parts in shares.items()}

        return self.strategy.experimental_distribute_values_from_function(share)

    def first(self, value: Any) -> Any:
        """Of a value that is the same on all replicas: this process's first replica's."""
        return self.strategy.experimental_local_results(value)[0]

    def agree(self, number: int) -> int:
        """The chief's number, in all processes; waits for all of them."""
        if self.workers == 1:
            return number

        def given(context: tf.distribute.ValueContext) -> tf.Tensor:
            chief = context.replica_id_in_sync_group == 0
            return tf.constant(number if chief else 0, tf.int64)

        @tf.function
        def total(value: Any) -> Any:
            return self.strategy.reduce("SUM", value, axis=None)

        return int(total(self.strategy.experimental_distribute_values_from_function(given)))

    def peak(self, dtype: tf.DType = tf.float32) -> float:
        """Floating-point operations a second that a large product of matrices reaches.

        Of all replicas together; the fastest of some products, for which it takes some tenths of a
        second.
        """

        def product(matrix: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(matrix @ matrix)

        @tf.function(autograph=False)
        def multiply(matrix: tf.Tensor) -> Any:
            return self.strategy.run(product, args=(matrix,))

        size, seconds = 512, 0.0
        while seconds < _PEAK_SECONDS and size < _LARGEST:
            size *= 2
            matrix = tf.ones([size, size], dtype)
            self.first(multiply(matrix)).numpy()
            seconds = math.inf
            for _ in range(3):
                begun = time.perf_counter()
                self.first(multiply(matrix)).numpy()
                seconds = min(seconds, time.perf_counter() - begun)
        return self.replicas * 2.0 * size**3 / seconds


def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    there = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    wanted = list(names) or [name for name in there if name.startswith("GPU:")]
    if not wanted:
        raise ConfigError(
            "no GPU is to be seen",
            where="devices.strategy",
            remedy='train on "one" device, or name some in devices.devices',
        )
    for name in wanted:
        if name not in there:
            raise ConfigError(
                f"there is no device {name}; there are {', '.join(sorted(there))}",
                where="devices.devices",
                remedy="name some of these",
            )
    return tf.distribute.MirroredStrategy(wanted)


def _place() -> tuple[int, int]:
    """Number of processes, and which one of them this is, as TF_CONFIG says.

    Raises:
        ConfigError: it says nothing.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster = resolver.cluster_spec().as_dict()
    tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
    place = (resolver.task_type, resolver.task_id)
    if place not in tasks:
        raise ConfigError(
            "TF_CONFIG does not tell of the processes that train together, and of which this is",
            where="devices.strategy",
            remedy='set it, as {"cluster": {"worker": ["host:port", …]}, '
            '"task": {"type": "worker", "index": 0}}, or set devices.processes',
        )
    return len(tasks), tasks.index(place)


def _tpu(name: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        fault = f"{error}".partition("\n")[0]
        raise ConfigError(
            f"no TPU answers: {fault:.200}",
            where="devices.tpu",
            remedy='on a TPU VM give "local", else the name or address of the TPU',
        ) from error
    return tf.distribute.TPUStrategy(resolver)
