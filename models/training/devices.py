"""Where training computes: on one device, several, several processes or a TPU (tf.distribute).

Every replica holds the whole model and computes an equal share of each batch's rows. Gradients are
summed over all replicas. So a batch has the same gradient, up to rounding, wherever it is computed.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from models.errors import ConfigError, Preempted
from models.training.config import DevicesConfig, micro_batch_size

Features = Mapping[str, tf.Tensor]

_MIN_MATMUL_SECONDS = 0.04  # with a shorter product, the time to launch it would count
_MAX_MATMUL_SIZE = 16_384
_matmul_rates: dict[tuple[str, int, str], float] = {}  # by strategy, replicas and dtype

_LOST_PROCESS_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Devices:
    """The devices of a training run, and this process's part in it.

    A process that is one of several must create this object before it uses TensorFlow otherwise.

    Args:
        config: which devices.

    Attributes:
        config: the configuration.
        strategy: the strategy of tf.distribute.
        replicas: number of replicas of the model, over all processes.
        workers: number of processes, all of which run the same program.
        worker: index of this process. Process 0 is the chief, which writes the shared files.

    Raises:
        ConfigError: the devices do not exist.
    """

    def __init__(self, config: DevicesConfig = DevicesConfig()) -> None:  # noqa: B008
        self.config = config
        self.workers, self.worker = 1, 0
        if config.strategy == "one":
            self.strategy = tf.distribute.get_strategy()
        elif config.strategy == "mirrored":
            self.strategy = _mirrored(config.devices)
        elif config.strategy == "multi_worker":
            self.workers, self.worker = _cluster_position()
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            self.strategy = _tpu(config.tpu)
        self.replicas: int = self.strategy.num_replicas_in_sync

    @property
    def chief(self) -> bool:
        """Whether this process writes the shared files."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which the model and its optimizer must be created."""
        return self.strategy.scope()

    @contextlib.contextmanager
    def report_lost_process(self) -> Iterator[None]:
        """Turns TensorFlow's errors about a lost process into `Preempted`, if there are several.

        Raises:
            Preempted: another process of this training has ended.
        """
        try:
            yield
        except _LOST_PROCESS_ERRORS as error:
            if self.workers == 1:
                raise
            fault = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise Preempted(
                f"another process of this training has ended ({fault:.200}); the last checkpoint "
                "is kept",
                where=f"process {self.worker} of {self.workers}",
                remedy="run the same command to resume",
            ) from error

    def micro_batch_size(self, batch_size: int, gradient_accumulation_steps: int = 1) -> int:
        """Rows that a replica computes at once; see `models.training.config.micro_batch_size`.

        Raises:
            ConfigError: the batch cannot be divided equally.
        """
        return micro_batch_size(batch_size, gradient_accumulation_steps, self.replicas)

    def process_rows(self, batch_size: int) -> slice:
        """The rows of a batch that the replicas of this process compute, and no other process."""
        rows = batch_size // self.workers
        return slice(self.worker * rows, (self.worker + 1) * rows)

    def split_over_replicas(self, features: Features, axis: int) -> Any:
        """Gives each replica of this process an equal share of the process's rows.

        Args:
            features: tensors that all have the rows on `axis`.
            axis: the axis of the rows.
        """
        if self.config.strategy == "one":
            return features
        replicas = self.replicas // self.workers
        shares = {name: tf.split(value, replicas, axis) for name, value in features.items()}

        def share(context: tf.distribute.ValueContext) -> Features:
            index = context.replica_id_in_sync_group - self.worker * replicas
            return {name: parts[index] for name, parts in shares.items()}

        return self.strategy.experimental_distribute_values_from_function(share)

    def first_replica(self, value: Any) -> Any:
        """The value of this process's first replica."""
        return self.strategy.experimental_local_results(value)[0]

    def broadcast(self, number: int) -> int:
        """Returns the chief's number in every process; waits for all processes."""
        if self.workers == 1:
            return number

        def summand(context: tf.distribute.ValueContext) -> tf.Tensor:
            chief = context.replica_id_in_sync_group == 0
            return tf.constant(number if chief else 0, tf.int64)

        @tf.function
        def total(value: Any) -> Any:
            return self.strategy.reduce("SUM", value, axis=None)

        return int(total(self.strategy.experimental_distribute_values_from_function(summand)))

    def matmul_rate(self, dtype: tf.DType = tf.float32) -> float:
        """Floating-point operations per second that a large matrix product reaches.

        Over all replicas together. Measures products of growing size, which takes some tenths of a
        second, and returns the rate of the largest. A process measures once: trainings with several
        seeds, and trials of a search, are compared with the same rate.
        """
        key = (self.config.strategy, self.replicas, dtype.name)
        if key not in _matmul_rates:
            _matmul_rates[key] = self._measured_matmul_rate(dtype)
        return _matmul_rates[key]

    def _measured_matmul_rate(self, dtype: tf.DType) -> float:
        def product(matrix: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(matrix @ matrix)

        @tf.function(autograph=False)
        def multiply(matrix: tf.Tensor) -> Any:
            return self.strategy.run(product, args=(matrix,))

        size, seconds = 512, 0.0
        while seconds < _MIN_MATMUL_SECONDS and size < _MAX_MATMUL_SIZE:
            size *= 2
            matrix = tf.ones([size, size], dtype)
            self.first_replica(multiply(matrix)).numpy()  # compiles
            seconds = math.inf
            for _ in range(3):
                start = time.perf_counter()
                self.first_replica(multiply(matrix)).numpy()
                seconds = min(seconds, time.perf_counter() - start)
        return self.replicas * 2.0 * size**3 / seconds


def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """A strategy over the named devices; over all GPUs if there are no names."""
    present = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    chosen = list(names) or [name for name in present if name.startswith("GPU:")]
    if not chosen:
        raise ConfigError(
            "TensorFlow sees no GPU",
            where="devices.strategy",
            remedy='set devices.strategy to "one", or name devices in devices.devices',
        )
    for name in chosen:
        if name not in present:
            raise ConfigError(
                f"there is no device {name}; there are {', '.join(sorted(present))}",
                where="devices.devices",
                remedy="name devices that exist",
            )
    return tf.distribute.MirroredStrategy(chosen)


def _cluster_position() -> tuple[int, int]:
    """The number of processes and the index of this one, from TF_CONFIG.

    Raises:
        ConfigError: TF_CONFIG does not say.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster = resolver.cluster_spec().as_dict()
    tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
    task = (resolver.task_type, resolver.task_id)
    if task not in tasks:
        raise ConfigError(
            "TF_CONFIG does not name the processes that train together and the task of this one",
            where="devices.strategy",
            remedy='set it, as {"cluster": {"worker": ["host:port", …]}, '
            '"task": {"type": "worker", "index": 0}}, or set devices.processes',
        )
    return len(tasks), tasks.index(task)


def _tpu(name: str) -> tf.distribute.Strategy:
    """A strategy over a TPU, by its name or address."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        fault = f"{error}".partition("\n")[0]
        raise ConfigError(
            f"cannot connect to the TPU {name!r}: {fault:.200}",
            where="devices.tpu",
            remedy='on a TPU VM set it to "local", else to the name or address of the TPU',
        ) from error
    return tf.distribute.TPUStrategy(resolver)
