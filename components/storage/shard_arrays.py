"""Integer arrays of a shard, written by a worker and read when all shards are combined.

One file holds all arrays of a shard, one after the other, because finished.py keeps single files.
The caller keeps the arrays' sizes.
"""

import os
from collections.abc import Mapping

import numpy as np

_DTYPE = np.dtype("<i8")


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Writes integer arrays `[size]`; returns their sizes by name, in the arrays' order."""
    with open(path, "wb") as stream:
        for array in arrays.values():
            stream.write(np.ascontiguousarray(array, _DTYPE).data)
    return {name: len(array) for name, array in arrays.items()}


def read_arrays(path: str | os.PathLike[str], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Maps arrays into memory, by name.

    Args:
        path: a file that `write_arrays` wrote.
        sizes: the sizes that it returned.
    """
    if not any(sizes.values()):
        return {name: np.zeros(0, _DTYPE) for name in sizes}
    concatenated = np.memmap(path, _DTYPE, "r", shape=(sum(sizes.values()),))
    ends = np.cumsum([*sizes.values()]).tolist()
    return {
        name: concatenated[end - size : end]
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }
