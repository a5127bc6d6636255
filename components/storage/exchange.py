"""Grouping by key as it suits the runner: by Beam, or through files on the DirectRunner.

The DirectRunner's GroupByKey holds all that it groups in memory. There, a bundle writes what it saw
to run files, each sorted by key and with an index at its front, as MapReduce's workers do (Dean and
Ghemawat, 2004); only the files' names go through Beam, and whoever takes a key reads its part of
each run: the memory of one bundle and one key. Names of bundles that failed never arrive, so a
retry leaves no item twice. Other runners sort on disk themselves, and their GroupByKey is used.

Either way an item travels as MessagePack and is decoded into the type that it is said to have. What
another process puts into a run file can thus be a wrong item, but never code, as a pickle can.

Imports no TFX, which each of Beam's worker processes would pay for.
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

_RUN_BYTES = 32_000_000  # held before a run is written
_LENGTH = 4  # bytes that hold the length of an item, which stand before it in a run
_IN_MEMORY = ("apache_beam.runners.direct", "apache_beam.runners.portability.fn_api_runner")
_ENCODER = msgspec.msgpack.Encoder()


class CoGroupItems(beam.PTransform):
    """{name: (key, item)} → (key, {name: items}), for every key that there can be.

    Items come in no order, and can be iterated more than once.

    Args:
        folder: where run files may lie; every worker sees it. Whoever runs the pipeline removes it.
        keys: keys are integers from 0 up to, not including, this.
        types: of each name the items' type: a NamedTuple or another tuple, of these, strings, bytes
            and numbers.
    """

    def __init__(self, folder: str, keys: int, types: Mapping[str, Any]) -> None:
        super().__init__()
        self._folder = folder
        self._keys = keys
        self._types = dict(types)

    def expand(self, inputs: Any) -> Any:
        """Groups as the pipeline's runner does it best."""
        pipeline = next(iter(inputs.values())).pipeline
        groups = self._in_files if groups_in_memory(pipeline.runner) else self._by_runner
        return groups(pipeline, inputs)

    def _in_files(self, pipeline: beam.Pipeline, inputs: Mapping[str, Any]) -> Any:
        """Writes runs and a list of them, then hands it to each key."""
        runs = [
            beam.pvalue.AsList(
                inputs[name]
                | f"WriteRuns {name}" >> beam.ParDo(_WriteRuns(self._folder, self._keys))
            )
            for name in self._types
        ]
        # Few transforms: each costs tens of milliseconds before the first item is seen.
        return (
            pipeline
            | "Folder" >> beam.Create([self._folder])
            | "List" >> beam.FlatMap(_list, self._keys, *runs)
            | "Spread" >> beam.Reshuffle()
            | "Take" >> beam.Map(_take, self._types)
        )

    def _by_runner(self, pipeline: beam.Pipeline, inputs: Mapping[str, Any]) -> Any:
        encoded = {
            name: inputs[name]
            | f"Encode {name}" >> beam.MapTuple(_encode).with_output_types(tuple[int, bytes])
            for name in self._types
        }
        # An item of no bytes for each key, so that a key without items arrives too.
        every_key = pipeline | "Keys" >> beam.Create([(key, b"") for key in range(self._keys)])
        first = next(iter(encoded))
        encoded[first] = (encoded[first], every_key) | "EveryKey" >> beam.Flatten()
        return encoded | "Group" >> beam.CoGroupByKey() | "Take" >> beam.Map(_decode, self._types)


class GroupItems(beam.PTransform):
    """(key, item) → (key, items), for every key that there can be: see `CoGroupItems`.

    Args:
        folder, keys: as there.
        item: the items' type.
    """

    def __init__(self, folder: str, keys: int, item: Any) -> None:
        super().__init__()
        self._group = CoGroupItems(folder, keys, {"items": item})

    def expand(self, items: Any) -> Any:
        """Groups the one collection."""
        groups = {"items": items} | "Group" >> self._group
        return groups | "Items" >> beam.MapTuple(lambda key, found: (key, found["items"]))


def groups_in_memory(runner: Any) -> bool:
    """Whether a runner's GroupByKey holds all items in this machine's memory: a DirectRunner's."""
    return type(runner).__module__.startswith(_IN_MEMORY)


class _FromFiles:
    """The items of one key, read from its run files each time that they are iterated."""

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
                    length = int.from_bytes(stream.read(_LENGTH), "little")
                    begin += _LENGTH + length
                    yield _decoded(stream.read(length), self._item, path)


class _FromRunner:
    """The items of one key, as the runner holds them."""

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
            f"What the workers exchange is damaged: {error}",
            where=where,
            remedy="Give the same command again. If it comes again, look who else writes there.",
        ) from error


@functools.cache
def _decoder(item: Any) -> msgspec.msgpack.Decoder:
    return msgspec.msgpack.Decoder(item)


def _encode(key: int, item: Any) -> tuple[int, bytes]:
    return key, _ENCODER.encode(item)


def _decode(element: Any, types: Mapping[str, Any]) -> tuple[int, Any]:
    key, values = element
    return key, {name: _FromRunner(values[name], item) for name, item in types.items()}


def _list(folder: str, keys: int, *runs: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Writes the names of all runs, each collection's to a file, and yields these with each key."""
    listings = []
    for names in runs:
        listings.append(os.path.join(folder, f"runs-{uuid.uuid4().hex}.txt"))
        with open(listings[-1], "w", encoding="utf-8") as stream:
            stream.writelines(f"{name}\n" for name in names)
    for key in range(keys):
        yield key, listings


def _take(element: Any, types: Mapping[str, Any]) -> tuple[int, Any]:
    key, listings = element
    return key, {
        name: _FromFiles(listing, key, types[name])
        for name, listing in zip(types, listings, strict=True)
    }


class _WriteRuns(beam.DoFn):
    def __init__(self, folder: str, keys: int) -> None:
        self._folder = folder
        self._keys = keys

    def start_bundle(self) -> None:
        self._clear()

    def process(self, element: Any) -> Iterator[str]:
        key, item = element
        data = _ENCODER.encode(item)
        self._items.setdefault(key, []).extend((len(data).to_bytes(_LENGTH, "little"), data))
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
