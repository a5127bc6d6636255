"""Keys of the texts that earlier spans trained on, to keep them out of held-out splits.

A text may return in a later span under another id, and thus in another split. Each span therefore
writes the keys of its training documents, together with those of the spans before it. The next span
looks up its held-out documents among them.
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
"""In a TrainedTexts artifact: the keys, uint64 `[keys]`, ascending and distinct."""
REASON = "trained on before"
"""The reason by which dropped documents are counted."""


def text_keys(text: str, bands: Sequence[bytes]) -> list[int]:
    """The keys of a text: the first 8 bytes of its hash, and of the hash of each band.

    Args:
        text: the text.
        bands: see components/cleaning/near_duplicates.py; empty if near duplicates are not wanted.
    """
    return [int(text_hash(text)[:16], 16), *(int.from_bytes(band[:8], "big") for band in bands)]


def is_trained(keys: Sequence[int], path: str) -> bool:
    """Whether any of a text's keys is in a file that `merge_keys` wrote."""
    trained = _load(path, os.stat(path).st_mtime_ns)
    wanted = np.array(keys, np.uint64)
    places = np.searchsorted(trained, wanted)
    inside = places < len(trained)
    return bool(np.any(trained[places[inside]] == wanted[inside]))


def write_table(keys: Sequence[Sequence[int]], path: str) -> None:
    """Writes the keys of each document of a shard, before it is known which are dropped.

    Args:
        keys: the keys of each document, in order; empty for a document that is dropped already.
        path: receives uint64 `[documents, keys]`. A row with fewer keys repeats its first key.
    """
    width = max(map(len, keys), default=0)
    rows = [[*row, *[row[0] if row else 0] * (width - len(row))] for row in keys]
    _write(np.array(rows, np.uint64).reshape(len(keys), width), path)


def write_kept_keys(table: str, kept: Sequence[bool], path: str) -> None:
    """Writes the keys of the documents of a shard that are kept.

    Args:
        table: a file that `write_table` wrote.
        kept: for each document, whether it is trained on.
        path: receives uint64 `[keys]`.
    """
    _write(np.unique(np.load(table)[np.array(kept, bool)]), path)


def merge_keys(parts: Iterable[str | pathlib.Path], path: str) -> int:
    """Writes the keys of all parts to one file; returns their number."""
    arrays = [np.zeros(0, np.uint64), *(np.load(part) for part in parts)]
    keys = np.unique(np.concatenate(arrays))
    np.save(path, keys)
    return len(keys)


@functools.lru_cache(maxsize=2)
def _load(path: str, _modified: int) -> np.ndarray:
    return np.load(path, mmap_mode="r")


def _write(array: np.ndarray, path: str) -> None:
    with published(path) as partial, partial.open("wb") as stream:
        np.save(stream, array)
