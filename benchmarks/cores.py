"""Measures the time of a function, and the share of the cores that other processes used."""

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
"""Rows and columns of the matrices whose product measures the rate of the machine."""


def print_processor() -> None:
    """Prints the processor that a benchmark runs on."""
    onednn = "on" if onednn_is_on() else "off"
    print(f"{os.cpu_count()} cores of {Processor.here()}, oneDNN {onednn}", flush=True)


def answer(step: Callable[[], Any], multiply: Callable[[], Any]) -> None:
    """Answers each line of standard input, "steps N" or "matmul", with the times as JSON."""
    for line in sys.stdin:
        kind, *count = line.split()
        if kind == "steps":
            times = [timed(step) for _ in range(int(*count))]
        else:
            times = [timed(multiply) for _ in range(3)]
        print(json.dumps(times), flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, float, float]:
    """Runs a function and measures it.

    Returns:
        Seconds; the share of the cores that other processes used meanwhile, which is 0 except on
        Linux; and CPU seconds of this process.
    """
    busy, own, start = _busy(), sum(os.times()[:2]), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    own = sum(os.times()[:2]) - own
    others = (_busy() - busy) - own
    return seconds, max(0.0, others / (seconds * (os.cpu_count() or 1))), own


def _busy() -> float:
    """CPU seconds of all cores since the start, including those taken by the hypervisor."""
    stat = pathlib.Path("/proc/stat")
    if not stat.exists():
        return 0.0
    numbers = stat.read_text().splitlines()[0].split()[1:9]
    ticks = [int(number) for number in numbers]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
