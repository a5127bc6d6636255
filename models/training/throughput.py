"""Training speed: tokens per second, share of padding, and matmul utilization."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class StepCost(NamedTuple):
    """The work of an optimizer step, and how fast its devices can work."""

    operations: Callable[[int], float]
    """Length of a batch, in positions → floating-point operations of its step."""
    matmul_rate: float
    """Floating-point operations per second that a large matrix product reaches on the devices."""


class Throughput:
    """Measures the steps of a process from `start` on, so that compilation does not count.

    `matmul_utilization` is the model's own operations per second, as a share of the rate that a
    large matrix product reaches. It resembles the model FLOP/s utilization of Chowdhery et al.,
    2022 ("PaLM"), whose denominator is the device's peak on paper. It is an estimate, as other
    operations of a step are not counted.

    Args:
        cost: for `matmul_utilization`; None leaves that metric out.

    Attributes:
        measuring: whether `start` was called.
        tokens_per_second: padding is not counted; 0 before the first step that is measured.
    """

    def __init__(self, cost: StepCost | None = None) -> None:
        self._cost = cost
        self.measuring = False
        self.tokens_per_second = 0.0
        self._matmul_utilization = 0.0
        self._started_at = 0.0
        self._tokens = 0
        self._operations = 0.0
        self._recent_tokens = self._recent_positions = 0

    def start(self) -> None:
        """Starts the measurement."""
        self.measuring = True
        self._started_at = time.monotonic()

    def add(self, tokens: int, positions: int, length: int) -> None:
        """Counts a step.

        Args:
            tokens: tokens of its batch, over all processes, without padding.
            positions: positions of its batch, with padding.
            length: positions of each of its examples.
        """
        self._recent_tokens += tokens
        self._recent_positions += positions
        if self.measuring:
            self._tokens += tokens
            if self._cost:
                self._operations += self._cost.operations(length)

    def metrics(self) -> dict[str, float]:
        """The speed of all steps counted so far."""
        if self.measuring and self._tokens:
            seconds = time.monotonic() - self._started_at
            self.tokens_per_second = self._tokens / seconds
            if self._cost:
                self._matmul_utilization = self._operations / seconds / self._cost.matmul_rate
        metrics = {"tokens_per_second": self.tokens_per_second}
        if self._cost:
            metrics["matmul_utilization"] = self._matmul_utilization
        return metrics

    def take_padding_share(self) -> float:
        """Share of padding in the positions that were counted since the last call."""
        share = 1.0 - self._recent_tokens / self._recent_positions
        self._recent_tokens = self._recent_positions = 0
        return share
