"""What a command costs: its seconds, and the most memory that all its processes held at once."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence

_EVERY = 0.2  # seconds between two looks


def measure(command: Sequence[str], cores: str, *, memory: bool = False) -> tuple[float, int]:
    """Seconds of a command that is bound to cores, and bytes at its peak if `memory` is asked for.

    Bytes are looked for five times a second, which takes time of its own: the sum over the
    command's processes, what several share in equal parts. `ru_maxrss` won't do: Linux counts the
    starting process's peak in it.
    """
    peak = 0
    ended = threading.Event()

    def watch(session: int) -> None:
        nonlocal peak
        while not ended.wait(_EVERY):
            peak = max(peak, _held(session))

    with tempfile.TemporaryFile() as told:
        begun = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", cores, *command],
            stdout=subprocess.DEVNULL,
            stderr=told,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
            start_new_session=True,
        )
        watcher = threading.Thread(target=watch, args=(process.pid,))
        if memory:
            watcher.start()
        status = process.wait()
        seconds = time.perf_counter() - begun
        ended.set()
        if memory:
            watcher.join()
        if status:
            told.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{told.read().decode()[-4000:]}")
    return seconds, peak


def _held(session: int) -> int:
    """Bytes that a session's processes hold now."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if os.getsid(int(folder.name)) == session:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024
