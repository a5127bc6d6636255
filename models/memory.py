"""How memory is given back: by the C library's allocator, and by Python's search for cycles."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_FROM_HEAP = 1 << 30
_NEVER_TRIM = (1 << 31) - 1


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Keeps Python from looking for cycles while large libraries are imported in the block.

    What they make stays, and would be looked through again and again; after the block it is not
    looked at any more. Of what is made then cycles are looked for as before: Keras's models are in
    cycles, and their weights would be held for longer.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_freed_memory() -> bool:
    """Lets glibc keep what is freed, so that each step gets the last one's pages again.

    By default glibc takes a buffer of more than 32 MB from the kernel and gives it back when it is
    freed. Every step then pays for fresh, zeroed pages: up to a third of a small model's time on a
    CPU. The process stays as large as it has been, and results are the same.

    Returns:
        Whether the C library knows these settings; where it does not, nothing has changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)
    )
