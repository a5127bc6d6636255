"""What a training computes on, and how: the device, the processor, oneDNN, XLA.

All of this changes only rounding, so it is in no fingerprint and in no key: training can be resumed
on another machine. But rounding changes the weights' bytes. So the log says what was chosen, and
`platform.jsonl` in the folder of the training's metrics records it.
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

SMALL = 5_000_000
"""Fewer weights make a model small: on a processor much of its step is not products of matrices.
Measured were models of about one and thirty million."""


@dataclasses.dataclass(frozen=True)
class Platform:
    """What the steps of a training, or some of them, were computed on.

    Attributes:
        first_step: the number of steps before these.
        processor: its name.
        flags: those of its instruction sets that matter.
        device: CPU, GPU or TPU.
        replicas: devices that shared each batch, over all processes.
        onednn: whether TensorFlow computed with oneDNN on the processor.
        xla: whether XLA compiled the step.
        tensorflow: TensorFlow's version.
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
        """One line, for the log and the report."""
        several = f"{self.replicas} × " if self.replicas > 1 else ""
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        return (
            f"{several}{self.device}, {self.processor or 'unknown processor'}{flags}, "
            f"oneDNN {'on' if self.onednn else 'off'}, XLA {'on' if self.xla else 'off'}, "
            f"TensorFlow {self.tensorflow}"
        )


def with_xla_chosen(
    config: TrainingConfig,
    xla_pays_on: Collection[DeviceKind],
    model: keras.Model,
    devices: Devices,
) -> TrainingConfig:
    """The configuration with `jit_compile`'s "auto" replaced by True or False.

    Args:
        xla_pays_on: of the family; see `models.objective.Family`.
        model: what is trained.
        devices: what is trained on.
    """
    if config.jit_compile != "auto":
        return config
    kind: DeviceKind = _device(devices)
    if kind == "CPU":
        if model.count_params() < SMALL:
            kind = "CPU, small model"
        elif onednn_is_on():
            kind = "CPU with oneDNN"
    return dataclasses.replace(config, jit_compile=kind in xla_pays_on)


def platform(first_step: int, config: TrainingConfig, devices: Devices) -> Platform:
    """The platform of the steps after `first_step`; `jit_compile` has been resolved."""
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


def keep_platform(logs: pathlib.Path, new: Platform) -> None:
    """Logs the platform, and adds it to `platform.jsonl` if it differs from the one before.

    Steps after `new.first_step` are not in the checkpoint and are computed again, so their lines
    are removed.

    Args:
        logs: the folder of the training's figures.
        new: the platform of the steps that follow.
    """
    _log.info("on %s", new)
    path = logs / PLATFORM_FILE
    before = [each for each in read_platforms(path) if each.first_step < new.first_step]
    if before and dataclasses.replace(before[-1], first_step=new.first_step) == new:
        kept = before
    else:
        if before:
            _log.warning(
                "the first %d steps were computed on %s: the weights may differ by rounding from "
                "those of a single platform",
                new.first_step,
                before[-1],
            )
        kept = [*before, new]
    logs.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in kept]
    with published(path, durable=True) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def read_platforms(path: pathlib.Path) -> list[Platform]:
    """The platforms of a training, in the order of its steps; empty if there is no such file.

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
    named = devices.config.devices
    gpu = any("GPU" in name for name in named) if named else tf.config.list_logical_devices("GPU")
    return "GPU" if gpu else "CPU"
