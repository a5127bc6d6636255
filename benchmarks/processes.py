"""Measures the time of a command, and the peak memory of all its processes together."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence

_INTERVAL = 0.2  # seconds between two measurements of the memory


def measure(command: Sequence[str], cores: str, *, memory: bool = False) -> tuple[float, int]:
    """Runs a command on some cores.

    The memory is measured five times a second, which takes some time itself. It is the sum over the
    processes of the command; memory that several processes share is divided between them.
    `ru_maxrss` would be wrong, because Linux includes the peak of the parent process in it.

    Args:
        command: the command line.
        cores: the cores, as `taskset` accepts them.
        memory: whether to measure the memory.

    Returns:
        Seconds of the command, and bytes of memory at the peak (0 without `memory`).
    """
    peak = 0
    ended = threading.Event()

    def watch(session: int) -> None:
        nonlocal peak
        while not ended.wait(_INTERVAL):
            peak = max(peak, _memory_of(session))

    with tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", cores, *command],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
            start_new_session=True,
        )
        watcher = threading.Thread(target=watch, args=(process.pid,))
        if memory:
            watcher.start()
        status = process.wait()
        seconds = time.perf_counter() - start
        ended.set()
        if memory:
            watcher.join()
        if status:
            stderr.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{stderr.read().decode()[-4000:]}")
    return seconds, peak


def _memory_of(session: int) -> int:
    """Bytes of memory of all processes of a session."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended
            if os.getsid(int(folder.name)) == session:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024
