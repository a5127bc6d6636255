"""Arrays of numbers that a worker leaves of its shard for the step that puts all shards together.

One file holds them end to end, as finished.py keeps single files; the caller keeps their sizes.
"""

import os
from collections.abc import Mapping

import numpy as np

_DTYPE = np.dtype("<i8")


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Writes integer arrays `[size]`, and returns their sizes by name, in order."""
    with open(path, "wb") as stream:
        for array in arrays.values():
            stream.write(np.ascontiguousarray(array, _DTYPE).data)
    return {name: len(array) for name, array in arrays.items()}


def read_arrays(path: str | os.PathLike[str], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The arrays by name, mapped into memory.

    Args:
        path: what `write_arrays` wrote.
        sizes: what it returned.
    """
    if not any(sizes.values()):
        return {name: np.zeros(0, _DTYPE) for name in sizes}
    whole = np.memmap(path, _DTYPE, "r", shape=(sum(sizes.values()),))
    ends = np.cumsum([*sizes.values()]).tolist()
    return {
        name: whole[end - size : end] for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
