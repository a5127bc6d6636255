"""How many examples each file holds and how long each is, so that no file is read to find out.

ExampleBuilder writes the index with the examples. For files in `examples/Split-train/` it lies in
`examples/index/Split-train/`, because all that lies in a split's own folder is read as examples.
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
    """What is known of files of examples.

    Attributes:
        files: their paths, ascending by name.
        counts: examples of each, int64 `[files]`.
        begins: where each file's examples begin in `lengths`, int64 `[files]`.
        lengths: real positions of every example, int32 `[examples]`, mapped into memory.
    """

    files: Sequence[str]
    counts: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray


def write_index(split: str | os.PathLike[str], lengths: Mapping[str, np.ndarray]) -> None:
    """Writes the index of a folder of examples.

    Args:
        split: the folder, as `examples/Split-train`.
        lengths: of every file in it, by its name, the real positions of each example `[examples]`.
    """
    folder = _index_of(split)
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(lengths)
    counts = {name: len(lengths[name]) for name in ordered}
    (folder / _COUNTS).write_text(json.dumps(counts, indent=1), encoding="utf-8")
    of_all = [np.zeros(0, np.int32), *(np.asarray(lengths[name]) for name in ordered)]
    np.save(folder / _LENGTHS, np.concatenate(of_all).astype(np.int32))


def read_index(files: Sequence[str]) -> ExampleIndex:
    """The index of some files of one folder.

    Raises:
        ConfigError: there is none, or a file is not in it.
    """
    ordered = sorted(files)
    folder = _index_of(pathlib.Path(ordered[0]).parent)
    try:
        counts: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
        lengths = np.load(folder / _LENGTHS, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _no_index(folder, f"the index of the examples can't be read ({error})") from error
    begins = dict(zip(counts, np.cumsum([0, *counts.values()]).tolist(), strict=False))
    names = [pathlib.Path(path).name for path in ordered]
    for name in names:
        if name not in counts:
            raise _no_index(folder, f"the index of the examples lacks the file {name}")
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
        remedy="let ExampleBuilder make the examples again: it writes the index with them",
    )


def _index_of(split: str | os.PathLike[str]) -> pathlib.Path:
    folder = pathlib.Path(split)
    return folder.parent / _FOLDER / folder.name
