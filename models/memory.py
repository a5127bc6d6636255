"""How memory is given back: by the C library's allocator, and by Python's search for cycles."""

from __future__ import annotations

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_FROM_HEAP = 1 << 30
_NEVER_TRIM = (1 << 31) - 1
_OBJECTS = 100_000


def collect_seldom() -> None:
    """Has Python look for cycles after 100,000 new objects rather than after 700.

    What TensorFlow, Beam and TFX make when they are imported stays, and would be looked through
    again and again: half a second to three seconds of every process.
    """
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])


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
