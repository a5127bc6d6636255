"""The platform of a training: device, processor, oneDNN and XLA; chooses XLA where it is faster.

The platform changes only rounding, so it is in no fingerprint and no cache key, and a training can
resume on another machine. But rounding changes the bytes of the weights. So the platform is logged,
and recorded in `platform.jsonl` in the folder of the training's metrics.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
from collections.abc import Collection
from typing import Literal

import keras
import tensorflow as tf

from models.processor import DeviceKind, Processor, onednn_is_on
from models.published import published
from models.settings import from_json
from models.training.config import TrainingConfig
from models.training.devices import Devices

_log = logging.getLogger("polyseme.training")

PLATFORM_FILE = "platform.jsonl"

SMALL_MODEL = 5_000_000
"""Models with fewer weights are small: on a CPU, much of their step is no matrix product. The
measurements were of models with about one and thirty million weights."""


@dataclasses.dataclass(frozen=True)
class Platform:
    """What a range of training steps was computed on.

    Attributes:
        first_step: steps done before the range.
        processor: model name of the processor.
        flags: its instruction sets that affect matrix products.
        device: CPU, GPU or TPU.
        replicas: devices that shared each batch, over all processes.
        onednn: whether TensorFlow used oneDNN on the processor.
        xla: whether XLA compiled the step.
        tensorflow: version of TensorFlow.
    """

    first_step: int
    processor: str
    flags: tuple[str, ...]
    device: Literal["CPU", "GPU", "TPU"]
    replicas: int
    onednn: bool
    xla: bool
    tensorflow: str

    def __str__(self) -> str:
        """One line for the log and the report."""
        count = f"{self.replicas} × " if self.replicas > 1 else ""
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        return (
            f"{count}{self.device}, {self.processor or 'unknown processor'}{flags}, "
            f"oneDNN {'on' if self.onednn else 'off'}, XLA {'on' if self.xla else 'off'}, "
            f"TensorFlow {self.tensorflow}"
        )


def with_xla_chosen(
    config: TrainingConfig,
    xla_pays_on: Collection[DeviceKind],
    model: keras.Model,
    devices: Devices,
) -> TrainingConfig:
    """The configuration with True or False instead of "auto" for `jit_compile`.

    Args:
        config: the configuration of the training.
        xla_pays_on: the kinds of devices on which XLA makes the family faster; see
            `models.family.Family`.
        model: the model to train.
        devices: the devices to train it on.
    """
    if config.jit_compile != "auto":
        return config
    kind: DeviceKind = _device(devices)
    if kind == "CPU":
        if model.count_params() < SMALL_MODEL:
            kind = "CPU, small model"
        elif onednn_is_on():
            kind = "CPU with oneDNN"
    return dataclasses.replace(config, jit_compile=kind in xla_pays_on)


def platform(first_step: int, config: TrainingConfig, devices: Devices) -> Platform:
    """The platform of the steps after `first_step`; `jit_compile` must not be "auto"."""
    processor, device = Processor.here(), _device(devices)
    return Platform(
        first_step=first_step,
        processor=processor.model,
        flags=processor.flags,
        device=device,
        replicas=devices.replicas,
        onednn=onednn_is_on(),
        xla=bool(config.jit_compile) or device == "TPU",
        tensorflow=tf.__version__,
    )


def log_platform(logs: pathlib.Path, new: Platform) -> None:
    """Logs the platform, and appends it to `platform.jsonl` if it differs from the last one.

    Steps after `new.first_step` are not in the checkpoint and are repeated, so their platforms are
    removed.

    Args:
        logs: the folder of the training's metrics.
        new: the platform of the steps that follow.
    """
    _log.info("training on %s", new)
    path = logs / PLATFORM_FILE
    earlier = [each for each in read_platforms(path) if each.first_step < new.first_step]
    if earlier and dataclasses.replace(earlier[-1], first_step=new.first_step) == new:
        platforms = earlier
    else:
        if earlier:
            _log.warning(
                "the first %d steps were computed on %s: the weights may differ by rounding from "
                "those of a single platform",
                new.first_step,
                earlier[-1],
            )
        platforms = [*earlier, new]
    logs.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in platforms]
    with published(path, durable=True) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def read_platforms(path: pathlib.Path) -> list[Platform]:
    """The platforms of a training in the order of its steps; empty if there is no such file.

    Raises:
        ConfigError: a line does not describe a platform.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [from_json(Platform, line) for line in lines]


def _device(devices: Devices) -> Literal["CPU", "GPU", "TPU"]:
    if devices.config.strategy == "tpu":
        return "TPU"
    names = devices.config.devices
    gpu = any("GPU" in name for name in names) if names else tf.config.list_logical_devices("GPU")
    return "GPU" if gpu else "CPU"
