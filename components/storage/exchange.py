"""Beam transforms that group items by key: through files on the DirectRunner, else by GroupByKey.

The DirectRunner's GroupByKey holds all its items in memory. On that runner, each bundle instead
writes its items to run files, sorted by key and with an index at the front, as the workers of
MapReduce do (Dean and Ghemawat, 2004). Only the names of the files go through Beam, and the worker
that takes a key reads that key's part of each run file. This needs the memory of one bundle and
one key. The names of files of failed bundles never arrive, so a retry does not duplicate items.
Other runners sort on disk, and their GroupByKey is used.

Both ways encode an item as MessagePack and decode it into its declared type. An item that another
process writes into a run file may therefore be wrong, but unlike a pickle it cannot run code.

This module does not import TFX, which every Beam worker process would have to load.
"""

import functools
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import msgspec
import numpy as np
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP

from models.errors import DataRefused

_RUN_BYTES = 32_000_000  # items in memory before a run file is written
_LENGTH_BYTES = 4  # the length of an item, in front of the item in a run file
_IN_MEMORY = ("apache_beam.runners.direct", "apache_beam.runners.portability.fn_api_runner")
_ENCODER = msgspec.msgpack.Encoder()


class CoGroupItems(beam.PTransform):
    """{name: (key, item)} → (key, {name: items}), for every possible key.

    Items are in no particular order, and can be iterated more than once.

    Args:
        folder: folder for run files, which every worker can access. The caller removes it after the
            pipeline has run.
        keys: number of keys; keys are the integers from 0 to `keys - 1`.
        types: the items' type by name: a tuple or NamedTuple of strings, bytes, numbers and other
            such tuples.
    """

    def __init__(self, folder: str, keys: int, types: Mapping[str, Any]) -> None:
        super().__init__()
        self._folder = folder
        self._keys = keys
        self._types = dict(types)

    def expand(self, inputs: Any) -> Any:
        """Groups through files or by the runner, see the module's docstring."""
        pipeline = next(iter(inputs.values())).pipeline
        groups = self._in_files if groups_in_memory(pipeline.runner) else self._by_runner
        return groups(pipeline, inputs)

    def _in_files(self, pipeline: beam.Pipeline, inputs: Mapping[str, Any]) -> Any:
        """Writes run files, lists them in a file, and passes the list to each key."""
        runs = [
            beam.pvalue.AsList(
                inputs[name]
                | f"WriteRuns {name}" >> beam.ParDo(_WriteRuns(self._folder, self._keys))
            )
            for name in self._types
        ]
        # Few transforms, because each costs tens of milliseconds before the first item.
        return (
            pipeline
            | "Folder" >> beam.Create([self._folder])
            | "List" >> beam.FlatMap(_list_runs, self._keys, *runs)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.Map(_items_from_files, self._types)
        )

    def _by_runner(self, pipeline: beam.Pipeline, inputs: Mapping[str, Any]) -> Any:
        encoded = {
            name: inputs[name]
            | f"Encode {name}" >> beam.MapTuple(_encode).with_output_types(tuple[int, bytes])
            for name in self._types
        }
        # One item of zero bytes for each key, so that keys without items arrive too.
        every_key = pipeline | "Keys" >> beam.Create([(key, b"") for key in range(self._keys)])
        first = next(iter(encoded))
        encoded[first] = (encoded[first], every_key) | "EveryKey" >> beam.Flatten()
        return (
            encoded
            | "Group" >> beam.CoGroupByKey()
            | "Decode" >> beam.Map(_items_from_runner, self._types)
        )


class GroupItems(beam.PTransform):
    """(key, item) → (key, items), for every possible key.

    Args:
        folder, keys: see `CoGroupItems`.
        item: the items' type.
    """

    def __init__(self, folder: str, keys: int, item: Any) -> None:
        super().__init__()
        self._group = CoGroupItems(folder, keys, {"items": item})

    def expand(self, items: Any) -> Any:
        """Groups a single collection."""
        groups = {"items": items} | "Group" >> self._group
        return groups | "Items" >> beam.MapTuple(lambda key, groups: (key, groups["items"]))


def groups_in_memory(runner: Any) -> bool:
    """Whether a runner's GroupByKey holds all items in memory, as the DirectRunner's does."""
    return type(runner).__module__.startswith(_IN_MEMORY)


class _FromFiles:
    """The items of one key, read from the run files at each iteration."""

    def __init__(self, listing: str, key: int, item: Any) -> None:
        self._listing = listing
        self._key = key
        self._item = item

    def __iter__(self) -> Iterator[Any]:
        with open(self._listing, encoding="utf-8") as lines:
            runs = lines.read().splitlines()
        for path in runs:
            with open(path, "rb") as stream:
                stream.seek(self._key * 8)
                begin, end = np.frombuffer(stream.read(16), "<i8").tolist()
                stream.seek(begin)
                while begin < end:
                    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
                    begin += _LENGTH_BYTES + length
                    yield _decoded(stream.read(length), self._item, path)


class _FromRunner:
    """The items of one key, as the runner's GroupByKey gives them."""

    def __init__(self, values: Iterable[bytes], item: Any) -> None:
        self._values = values
        self._item = item

    def __iter__(self) -> Iterator[Any]:
        return (_decoded(value, self._item, "Beam's GroupByKey") for value in self._values if value)


def _decoded(data: bytes, item: Any, where: str) -> Any:
    try:
        return _decoder(item).decode(data)
    except msgspec.DecodeError as error:
        raise DataRefused(
            f"The data that workers exchange is damaged: {error}",
            where=where,
            remedy="Run the same command again. If the error returns, find out which other process"
            " writes to this place.",
        ) from error


@functools.cache
def _decoder(item: Any) -> msgspec.msgpack.Decoder:
    return msgspec.msgpack.Decoder(item)


def _encode(key: int, item: Any) -> tuple[int, bytes]:
    return key, _ENCODER.encode(item)


def _items_from_runner(element: Any, types: Mapping[str, Any]) -> tuple[int, Any]:
    key, values = element
    return key, {name: _FromRunner(values[name], item) for name, item in types.items()}


def _list_runs(folder: str, keys: int, *runs: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Lists each collection's run files in a file, and yields these files' names with each key."""
    listings = []
    for names in runs:
        listings.append(os.path.join(folder, f"runs-{uuid.uuid4().hex}.txt"))
        with open(listings[-1], "w", encoding="utf-8") as stream:
            stream.writelines(f"{name}\n" for name in names)
    for key in range(keys):
        yield key, listings


def _items_from_files(element: Any, types: Mapping[str, Any]) -> tuple[int, Any]:
    key, listings = element
    return key, {
        name: _FromFiles(listing, key, types[name])
        for name, listing in zip(types, listings, strict=True)
    }


class _WriteRuns(beam.DoFn):
    """Writes the items of each bundle to run files, and yields the files' names."""

    def __init__(self, folder: str, keys: int) -> None:
        self._folder = folder
        self._keys = keys

    def start_bundle(self) -> None:
        self._clear()

    def process(self, element: Any) -> Iterator[str]:
        key, item = element
        data = _ENCODER.encode(item)
        self._items.setdefault(key, []).extend((len(data).to_bytes(_LENGTH_BYTES, "little"), data))
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
        """Writes a run file: the offset of each key's part, int64 `[keys + 1]`, then the parts."""
        path = os.path.join(self._folder, f"run-{uuid.uuid4().hex}")
        parts = [b"".join(self._items.get(key, ())) for key in range(self._keys)]
        offsets = np.cumsum([8 * (self._keys + 1), *map(len, parts)])
        with open(path, "wb") as stream:
            stream.write(offsets.astype("<i8").tobytes())
            stream.writelines(parts)
        self._clear()
        return path
