"""Chooses whether TensorFlow uses oneDNN, by the instruction sets of the processor.

TensorFlow reads the environment variable once, when it is imported, so the choice is made before.
The measurements are in docs/decisions/0026-onednn-and-xla-by-measurement.md.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from typing import Literal

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""The environment variable that switches oneDNN on (1) or off (0) in TensorFlow."""

Purpose = Literal["training", "serving"]
"""Training and evaluation with large batches, or serving requests of a few texts."""

DeviceKind = Literal["CPU", "CPU with oneDNN", "CPU, small model", "GPU", "TPU"]
"""The kinds of devices between which the choice of XLA differs."""

_RELEVANT_FLAGS = (
    "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",
)  # fmt: skip
# TensorFlow uses oneDNN by default if one of these is present: tensorflow/core/util/port.cc.
_ONEDNN_BY_DEFAULT = {
    "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes:
        model: its name; empty if the system does not report it.
        flags: its instruction sets that affect matrix products.
    """

    model: str = ""
    flags: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Processor:
        """This machine's processor; without name and flags if there is no `/proc/cpuinfo`."""
        path = pathlib.Path("/proc/cpuinfo")
        return cls.of(path.read_text(encoding="utf-8")) if path.exists() else cls()

    @classmethod
    def of(cls, cpuinfo: str) -> Processor:
        """The first processor that Linux's `/proc/cpuinfo` lists."""
        fields: dict[str, str] = {}
        for line in cpuinfo.splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip(), value.strip())
        flags = set(fields.get("flags", "").split())
        return cls(
            fields.get("model name", ""), tuple(flag for flag in _RELEVANT_FLAGS if flag in flags)
        )

    def __str__(self) -> str:
        return f"{self.model or 'unknown processor'} ({', '.join(self.flags) or 'no known flags'})"

    @property
    def onednn_by_default(self) -> bool:
        """Whether TensorFlow uses oneDNN by default."""
        return not _ONEDNN_BY_DEFAULT.isdisjoint(self.flags)

    def onednn(self, purpose: Purpose) -> bool | None:
        """Whether oneDNN is faster for a purpose; None if that was not measured."""
        if self.onednn_by_default:
            return True
        return purpose == "training" if "avx2" in self.flags else None


def choose_onednn(purpose: Purpose) -> None:
    """Turns oneDNN on or off for this process and the processes that it starts.

    Does nothing if the environment variable is set already. Does nothing if TensorFlow was imported
    already: it is too late for this process, and its child processes should compute as it does.
    """
    if ONEDNN in os.environ or "tensorflow" in sys.modules:
        return
    faster = Processor.here().onednn(purpose)
    if faster is not None:
        os.environ[ONEDNN] = str(int(faster))


def onednn_is_on() -> bool:
    """Whether TensorFlow uses oneDNN in this process."""
    value = os.environ.get(ONEDNN, "").lower()
    if value in ("0", "1", "false", "true"):
        return value in ("1", "true")
    return Processor.here().onednn_by_default
