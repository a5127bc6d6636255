"""The index of example files: how many examples each file holds, and the length of each example.

ExampleBuilder writes the index with the examples, so that nothing has to be read to count them. For
files in `examples/Split-train/` the index is in `examples/index/Split-train/`, because every file
in the folder of a split is read as examples.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.errors import ConfigError

_FOLDER = "index"
_COUNTS, _LENGTHS = "counts.json", "lengths.npy"


class ExampleIndex(NamedTuple):
    """The index of some files of examples.

    Attributes:
        files: their paths, sorted by name.
        counts: number of examples of each file, int64 `[files]`.
        begins: where the examples of each file begin in `lengths`, int64 `[files]`.
        lengths: positions of every example without padding, int32 `[examples]`, memory-mapped.
    """

    files: Sequence[str]
    counts: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray


def write_index(split: str | os.PathLike[str], lengths: Mapping[str, np.ndarray]) -> None:
    """Writes the index of a folder of examples.

    Args:
        split: the folder, such as `examples/Split-train`.
        lengths: by the name of each file in it, the positions of each example without padding,
            `[examples]`.
    """
    folder = _index_of(split)
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(lengths)
    counts = {name: len(lengths[name]) for name in ordered}
    (folder / _COUNTS).write_text(json.dumps(counts, indent=1), encoding="utf-8")
    columns = [np.zeros(0, np.int32), *(np.asarray(lengths[name]) for name in ordered)]
    np.save(folder / _LENGTHS, np.concatenate(columns).astype(np.int32))


def read_index(files: Sequence[str]) -> ExampleIndex:
    """Reads the index of some files of one folder.

    Raises:
        ConfigError: the index cannot be read, or a file is not in it.
    """
    ordered = sorted(files)
    folder = _index_of(pathlib.Path(ordered[0]).parent)
    try:
        counts: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
        lengths = np.load(folder / _LENGTHS, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _no_index(folder, f"the index of the examples cannot be read ({error})") from error
    begins = dict(zip(counts, np.cumsum([0, *counts.values()]).tolist(), strict=False))
    names = [pathlib.Path(path).name for path in ordered]
    for name in names:
        if name not in counts:
            raise _no_index(folder, f"the index of the examples has no file {name}")
    return ExampleIndex(
        ordered,
        np.array([counts[name] for name in names], np.int64),
        np.array([begins[name] for name in names], np.int64),
        lengths,
    )


def _no_index(folder: pathlib.Path, what: str) -> ConfigError:
    return ConfigError(
        what,
        where=str(folder),
        remedy="remove the examples and run the pipeline again: ExampleBuilder writes the index",
    )


def _index_of(split: str | os.PathLike[str]) -> pathlib.Path:
    folder = pathlib.Path(split)
    return folder.parent / _FOLDER / folder.name
