"""What the processor can do, and whether TensorFlow is to compute with oneDNN on it.

TensorFlow reads the variable once, when it is imported, so who trains or serves decides before. The
measurements are in docs/decisions/0026-onednn-and-xla-by-measurement.md.
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
"""Large batches, evaluated or trained on; or answers to a few texts at a time."""

DeviceKind = Literal["CPU", "CPU with oneDNN", "CPU, small model", "GPU", "TPU"]
"""Kinds of devices between which it differs whether XLA makes a training step faster."""

_TOLD = (
    "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",
)  # fmt: skip
# With one of these TensorFlow switches oneDNN on by itself: tensorflow/core/util/port.cc.
_ON_BY_ITSELF = {
    "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Processor:
    """A processor.

    Attributes:
        model: its name; empty where the system does not tell.
        flags: those of its instruction sets that matter to products of matrices.
    """

    model: str = ""
    flags: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Processor:
        """This machine's; nothing is known of one outside Linux."""
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
        return cls(fields.get("model name", ""), tuple(flag for flag in _TOLD if flag in flags))

    def __str__(self) -> str:
        return f"{self.model or 'unknown processor'} ({', '.join(self.flags) or 'no known flags'})"

    @property
    def onednn_by_itself(self) -> bool:
        """Whether TensorFlow computes with oneDNN where nobody has decided."""
        return not _ON_BY_ITSELF.isdisjoint(self.flags)

    def onednn(self, purpose: Purpose) -> bool | None:
        """Whether oneDNN is faster; None where nobody has measured."""
        if self.onednn_by_itself:
            return True
        return purpose == "training" if "avx2" in self.flags else None


def choose_onednn(purpose: Purpose) -> None:
    """Decides on oneDNN for this process and those that it starts.

    Whoever has set the variable has decided already. Where TensorFlow is imported nothing can be
    decided any more, and the processes that are started compute as this one does.
    """
    if ONEDNN in os.environ or "tensorflow" in sys.modules:
        return
    faster = Processor.here().onednn(purpose)
    if faster is not None:
        os.environ[ONEDNN] = str(int(faster))


def onednn_is_on() -> bool:
    """Whether TensorFlow computes with oneDNN on this machine's processor."""
    given = os.environ.get(ONEDNN, "").lower()
    if given in ("0", "1", "false", "true"):
        return given in ("1", "true")
    return Processor.here().onednn_by_itself
