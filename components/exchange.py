"""Grouping by key through files: the memory of one bundle and one key, whatever the runner.

Beam's GroupByKey on the DirectRunner holds all it groups in memory. Here a bundle writes what it
saw to run files, each sorted by key and with an index at its front, as MapReduce's workers do (Dean
and Ghemawat, 2004); only the files' names go through Beam, and who takes a key reads its part of
each run. Names of bundles that failed never arrive, so a retry leaves no item twice.

Imports no TFX, which each of Beam's worker processes would pay for.
"""

import os
import pickle
import uuid
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP

_RUN_BYTES = 32_000_000  # held before a run is written


class Group:
    """The items of one key, in no order: they are read anew each time it is iterated."""

    def __init__(self, listing: str, key: int) -> None:
        self._listing = listing
        self._key = key

    def __iter__(self) -> Iterator[Any]:
        with open(self._listing, encoding="utf-8") as lines:
            runs = lines.read().splitlines()
        for path in runs:
            with open(path, "rb") as stream:
                stream.seek(self._key * 8)
                begin, end = np.frombuffer(stream.read(16), "<i8").tolist()
                stream.seek(begin)
                while stream.tell() < end:
                    yield pickle.load(stream)  # noqa: S301 - what `_WriteRuns` wrote


class GroupThroughFiles(beam.PTransform):
    """(key, item) → (key, `Group`), for every key there can be.

    Args:
        folder: where run files may lie; every worker sees it. Whoever runs the pipeline removes it.
        keys: keys are integers from 0 up to, not including, this.
    """

    def __init__(self, folder: str, keys: int) -> None:
        super().__init__()
        self._folder = folder
        self._keys = keys

    def expand(self, items: Any) -> Any:
        """Writes runs and a list of them, then hands it to each key."""
        runs = items | "WriteRuns" >> beam.ParDo(_WriteRuns(self._folder, self._keys))
        # Few transforms: each costs tens of milliseconds before the first item is seen.
        return (
            items.pipeline
            | "Folder" >> beam.Create([self._folder])
            | "List" >> beam.FlatMap(_list, self._keys, beam.pvalue.AsList(runs))
            | "Spread" >> beam.Reshuffle()
            | "Take" >> beam.MapTuple(_take)
        )


def _list(folder: str, keys: int, runs: list[str]) -> Iterator[tuple[str, int]]:
    """Writes the names of all runs to a file and yields it with each key."""
    path = os.path.join(folder, f"runs-{uuid.uuid4().hex}.txt")
    with open(path, "w", encoding="utf-8") as stream:
        stream.writelines(f"{run}\n" for run in runs)
    for key in range(keys):
        yield path, key


def _take(listing: str, key: int) -> tuple[int, Any]:
    return key, Group(listing, key)


class _WriteRuns(beam.DoFn):
    def __init__(self, folder: str, keys: int) -> None:
        self._folder = folder
        self._keys = keys

    def start_bundle(self) -> None:
        self._clear()

    def process(self, element: Any) -> Iterator[str]:
        key, item = element
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._items.setdefault(key, []).append(data)
        self._size += len(data)
        if self._size >= _RUN_BYTES:
            yield self._write()

    def finish_bundle(self) -> Iterator[Any]:
        if self._items:
            yield beam.utils.windowed_value.WindowedValue(
                self._write(), MIN_TIMESTAMP, [GlobalWindow()]
            )

    def _clear(self) -> None:
        self._items: dict[int, list[bytes]] = {}
        self._size = 0

    def _write(self) -> str:
        """Writes where each key's part begins, int64 `[keys + 1]`, then the parts."""
        path = os.path.join(self._folder, f"run-{uuid.uuid4().hex}")
        parts = [b"".join(self._items.get(key, ())) for key in range(self._keys)]
        begins = np.cumsum([8 * (self._keys + 1), *map(len, parts)])
        with open(path, "wb") as stream:
            stream.write(begins.astype("<i8").tobytes())
            stream.writelines(parts)
        self._clear()
        return path
