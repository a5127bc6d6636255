"""Files of counts over all training examples, for the baselines and ELMo's output bias.

Each shard has its own counts, and their sums are written, so that the bytes depend neither on the
runner nor on the order of shards. Training reads these files instead of counting in the examples.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from components.storage.shard_arrays import read_arrays
from models.counts import Counts, merge
from models.published import published

BASELINES = "baselines"
"""Folder in an Examples artifact with a file `<table>.npy` for each table, int64 `[2, keys]`: the
keys that occur, ascending, and their counts."""


def count_arrays(tables: Mapping[str, Counts]) -> dict[str, np.ndarray]:
    """The counts of a shard as arrays for `shard_arrays.write_arrays`."""
    return {
        f"{table}.{part}": array
        for table, counts in tables.items()
        for part, array in counts._asdict().items()
    }


def write_counts(
    folder: str, shards: Sequence[tuple[str | os.PathLike[str], Mapping[str, int]]]
) -> None:
    """Adds up the counts of all shards, and writes a file for each table.

    Args:
        folder: the artifact's folder; receives the files in `baselines/`.
        shards: for each shard, the file of its `count_arrays` and the arrays' sizes.
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
    """The counts in an Examples artifact, by table; a file is read when its table is accessed.

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
