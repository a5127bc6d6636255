"""Counts over all training examples, as files: the baselines and ELMo's bias are made of them.

Each shard leaves its own counts, and their sums are written: the same bytes on any runner, in any
order. Training reads these files, so it need not read the examples to count.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from components.storage.shard_arrays import read_arrays
from models.counts import Counts, merge
from models.published import published

BASELINES = "baselines"
"""The folder in an artifact of examples: `<table>.npy`, int64 `[2, keys]`: the keys that occur,
ascending, and how often each does."""


def arrays_of(tables: Mapping[str, Counts]) -> dict[str, np.ndarray]:
    """A shard's counts as arrays for `shard_arrays.write_arrays`."""
    return {
        f"{table}.{part}": array
        for table, counts in tables.items()
        for part, array in counts._asdict().items()
    }


def write_counts(
    folder: str, shards: Sequence[tuple[str | os.PathLike[str], Mapping[str, int]]]
) -> None:
    """Adds up what `arrays_of` the shards left, and writes a file for each table.

    Args:
        folder: receives them in `baselines/`.
        shards: of each its file and the sizes of its arrays.
    """
    target = pathlib.Path(folder, BASELINES)
    target.mkdir(exist_ok=True)
    parts: dict[str, list[Counts]] = {}
    for path, sizes in shards:
        arrays = read_arrays(path, sizes)
        for name, keys in arrays.items():
            table, _, part = name.partition(".")
            if part == "keys":
                parts.setdefault(table, []).append(Counts(keys, arrays[f"{table}.counts"]))
    for table, counts in parts.items():
        with published(target / f"{table}.npy") as partial, partial.open("wb") as stream:
            np.save(stream, np.stack(merge(counts)))


class StoredCounts(Mapping[str, Counts]):
    """The counts of an artifact of examples by table; a file is read when its table is asked for.

    Args:
        examples: the artifact's folder.
    """

    def __init__(self, examples: str | os.PathLike[str]) -> None:
        self._folder = pathlib.Path(examples, BASELINES)

    def __getitem__(self, table: str) -> Counts:
        return Counts(*np.load(self._folder / f"{table}.npy"))

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self._folder.glob("*.npy")))

    def __len__(self) -> int:
        return sum(1 for _ in self)
