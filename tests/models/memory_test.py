"""Tests that freed memory is reused and imported objects are not traversed again."""

import gc
import os
import resource
import subprocess
import sys

from models.memory import fast_imports, keep_freed_memory


def faults() -> int:
    """Page faults of ten buffers of 64 MB, allocated one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        _ = b"x" * 64_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_repeated_allocations_reuse_pages() -> None:
    # Runs this file as a program, because the allocator's settings are per process.
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    supported, before, after = done.stdout.split()
    assert supported == "True"
    assert int(after) < int(before) / 10


def test_imported_objects_are_not_traversed_again() -> None:
    before = gc.get_freeze_count()
    try:
        with fast_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


if __name__ == "__main__":
    faults()
    first = faults()
    supported = keep_freed_memory()
    faults()
    sys.stdout.write(f"{supported} {first} {faults()}\n")
