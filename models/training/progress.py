"""The progress line of a training: step, losses, tokens per second and time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

_log = logging.getLogger("polyseme.training")
_INTERVAL_SECONDS = 5.0


class ProgressLog:
    """Logs a progress line every five seconds.

    The record's attribute `progress` holds (step, steps), from which a handler can draw a bar.

    Args:
        step: the step that this process starts from.
        steps: the steps of the whole run.
    """

    def __init__(self, step: int, steps: int) -> None:
        self._steps = steps
        self._first_step = step
        self._started_at = self._logged_at = time.monotonic()

    def start(self, step: int) -> None:
        """Estimates the time left from the steps after this one: those before also compiled."""
        self._first_step, self._started_at = step, time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last line is long enough ago."""
        return time.monotonic() - self._logged_at >= _INTERVAL_SECONDS

    def log(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        """Logs a line.

        Args:
            step: steps done.
            losses: by name; the gradient norm is left out.
            tokens_per_second: 0 leaves it out.
        """
        now = time.monotonic()
        per_step = (now - self._started_at) / max(step - self._first_step, 1)
        terms = "  ".join(
            f"{name.removesuffix('_sum')} {value:.3f}"
            for name, value in losses.items()
            if name != "gradient_norm"
        )
        speed = f"  {tokens_per_second:,.0f} tokens/s" if tokens_per_second else ""
        left = ""
        if step > self._first_step:
            left = f"  {_duration((self._steps - step) * per_step)} left"
        progress = {"progress": (step, self._steps)}
        _log.info("step %d/%d  %s%s%s", step, self._steps, terms, speed, left, extra=progress)
        self._logged_at = now

    def log_end(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        """Logs the line of the last step, after which none is left."""
        self._steps = step
        self.log(step, losses, tokens_per_second)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
