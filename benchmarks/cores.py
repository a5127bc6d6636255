"""Times of work on a machine's cores, and how much of these others had meanwhile."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from models.processor import Processor, onednn_is_on

PEAK_SIZE = 4_096
"""Rows and columns of the matrices whose product is taken for the machine's peak."""


def print_processor() -> None:
    """Prints what a benchmark's figures were measured on."""
    onednn = "on" if onednn_is_on() else "off"
    print(f"{os.cpu_count()} cores of {Processor.here()}, oneDNN {onednn}", flush=True)


def answer(step: Callable[[], Any], multiply: Callable[[], Any]) -> None:
    """Answers each line of standard input, "steps N" or "peak", by a line of JSON: times."""
    for line in sys.stdin:
        kind, *count = line.split()
        if kind == "steps":
            found = [timed(step) for _ in range(int(*count))]
        else:
            found = [timed(multiply) for _ in range(3)]
        print(json.dumps(found), flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, float, float]:
    """Seconds that some work took, the share of the cores that others had, seconds of cores it had.

    Others are all processes but this one. Linux alone tells; elsewhere their share is 0.
    """
    busy, own, begun = _busy(), sum(os.times()[:2]), time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    own = sum(os.times()[:2]) - own
    others = (_busy() - busy) - own
    return seconds, max(0.0, others / (seconds * (os.cpu_count() or 1))), own


def _busy() -> float:
    """Seconds that all cores together have worked, or that were taken from them."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return 0.0
    numbers = stat.read_text().splitlines()[0].split()[1:9]
    ticks = [int(number) for number in numbers]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
