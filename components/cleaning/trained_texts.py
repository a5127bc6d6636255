"""What a chain of models was trained on, as hashes: held-out text must not be among it (law 10).

The same text may come again with another id, and so in another split. Each span leaves the keys of
the documents to train on, with those of the spans before, and the next span's held-out documents
are looked up there.
"""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from components.documents import text_hash
from models.published import published

KEYS_FILE = "keys.npy"
"""In a TrainedTexts artifact: uint64 `[keys]`, ascending, no two alike."""
REASON = "trained on before"


def keys_of(text: str, bands: Sequence[bytes]) -> list[int]:
    """What a document is known by: the first 8 bytes of its text's hash, and of each band.

    Args:
        text: the document's.
        bands: see components/cleaning/near_duplicates.py; empty where near duplicates are not
        looked for.
    """
    return [int(text_hash(text)[:16], 16), *(int.from_bytes(band[:8], "big") for band in bands)]


def among(keys: Sequence[int], path: str) -> bool:
    """Whether any of a document's keys is in a file that `merge` wrote."""
    known = _load(path, os.stat(path).st_mtime_ns)
    wanted = np.array(keys, np.uint64)
    places = np.searchsorted(known, wanted)
    found = places < len(known)
    return bool(np.any(known[places[found]] == wanted[found]))


def write_table(keys: Sequence[Sequence[int]], path: str) -> None:
    """Writes the keys of each document of a shard, in order, some of which may yet be dropped.

    Args:
        keys: of each document; none for one that is dropped already.
        path: receives uint64 `[documents, keys]`. A row that has fewer keys repeats its first.
    """
    width = max(map(len, keys), default=0)
    rows = [[*own, *[own[0] if own else 0] * (width - len(own))] for own in keys]
    _write(np.array(rows, np.uint64).reshape(len(keys), width), path)


def write_part(table: str, stays: Sequence[bool], path: str) -> None:
    """Writes the keys of the documents that stay.

    Args:
        table: what `write_table` wrote.
        stays: of each document, whether it is trained on.
        path: receives uint64 `[keys]`.
    """
    _write(np.unique(np.load(table)[np.array(stays, bool)]), path)


def merge(parts: Iterable[str | pathlib.Path], path: str) -> int:
    """Writes the keys of all parts; returns how many there are."""
    arrays = [np.zeros(0, np.uint64), *(np.load(part) for part in parts)]
    keys = np.unique(np.concatenate(arrays))
    np.save(path, keys)
    return len(keys)


@functools.lru_cache(maxsize=2)
def _load(path: str, _written: int) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def _write(array: np.ndarray, path: str) -> None:
    with published(path) as partial, partial.open("wb") as stream:
        np.save(stream, array)
