"""A process that holds the lock of a pipeline's folder, for tests of what other processes do."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).parents[2]
_PROGRAM = """
import pathlib, sys
from pipeline.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_lock(folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a process that holds the lock of a folder; it is killed when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"locked\n"
            yield process
        finally:
            process.kill()
