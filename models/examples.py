"""Training examples as bytes and back, by an objective's feature spec: one schema at both ends."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.errors import DataRefused
from models.objective import Example, Examples, FeatureSpec

_KINDS = {"int64": "iu", "float32": "f", "string": "OS"}  # NumPy's kinds that a feature may have
_PARSED = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}


def check(example: Example, spec: FeatureSpec) -> None:
    """That an example has the features of its spec, in their shapes and kinds.

    Raises:
        DataRefused: it has not; names the feature.
    """
    for name in spec.keys() ^ example.keys():
        raise DataRefused(
            f"An example {'lacks' if name in spec else 'has, beyond its spec,'} a feature.",
            where=f"feature {name}",
            remedy="Make feature_spec and make_examples of the objective agree.",
        )
    for name, feature in ((name, feature.stored) for name, feature in spec.items()):
        value = example[name]
        if value.shape != feature.shape or value.dtype.kind not in _KINDS[feature.dtype]:
            raise DataRefused(
                f"An example's feature is {value.dtype} {list(value.shape)}; "
                f"the spec says {feature.dtype} {list(feature.shape)}.",
                where=f"feature {name}",
                remedy="Make feature_spec and make_examples of the objective agree.",
            )


class Serializer:
    """Examples of one spec to serialized tf.Examples, many at once.

    Writes protocol buffers' wire format from whole columns, about five times as fast as building
    messages; the bytes are those of `SerializeToString(deterministic=True)`.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = {name: feature.stored for name, feature in spec.items()}
        self._headers: dict[str, dict[int, bytes]] = {name: {} for name in spec}

    def serialize(self, examples: Sequence[Example]) -> list[bytes]:
        """The bytes of each example.

        Raises:
            DataRefused: an example does not fit the spec; names the feature.
        """
        for example in examples:
            check(example, self._spec)
        columns = {name: np.stack([e[name] for e in examples]) for name in self._spec if examples}
        return self.serialize_columns(columns) if examples else []

    def serialize_columns(self, examples: Examples) -> list[bytes]:
        """The bytes of each of several examples.

        Raises:
            DataRefused: they do not fit the spec; names the feature.
        """
        check({n: np.empty(c.shape[1:], c.dtype) for n, c in examples.items()}, self._spec)
        parts: list[list[bytes]] = []
        for name in sorted(self._spec):
            column = examples[name]
            flat = column.reshape(len(column), -1)
            payloads = _PAYLOADS[self._spec[name].dtype](flat)
            sizes = [*map(len, payloads)]
            headers = self._headers[name]
            for size in {*sizes} - headers.keys():
                headers[size] = self._header(name, size)
            parts += [headers[size] for size in sizes], payloads
        rows = [*map(b"".join, zip(*parts, strict=True))]
        return [_prefix(1, len(row)) + row for row in rows]

    def _header(self, name: str, size: int) -> bytes:
        """What stands before a feature's payload: a map entry's key and all lengths."""
        kind = _FIELDS[self._spec[name].dtype]
        value = _delimited(2, _delimited(kind, bytes(size)))
        entry = _delimited(1, _delimited(1, name.encode()) + value)
        return entry[: len(entry) - size]


def unstack(examples: Examples) -> list[Example]:
    """Several examples one by one."""
    rows = zip(*examples.values(), strict=True)
    return [dict(zip(examples, row, strict=True)) for row in rows]


def serialize(example: Example, spec: FeatureSpec) -> bytes:
    """A serialized tf.Example, the same bytes for the same example.

    Raises:
        DataRefused: the example does not fit its spec; names the feature.
    """
    return Serializer(spec).serialize([example])[0]


def _delimited(field: int, payload: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _prefix(field, len(payload)) + payload


@functools.lru_cache(maxsize=65_536)
def _prefix(field: int, size: int) -> bytes:
    """What stands before so many bytes: the field's key, and the size as a varint."""
    out = bytearray([field << 3 | 2])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out)


def _int64_lists(column: np.ndarray) -> list[bytes]:
    """Int64List messages of `[examples, values]`: packed varints, seven bits to a byte."""
    rest = column.astype(np.int64, copy=False).view(np.uint64)
    if rest.size and (most := rest.max()) < 2**32:  # no negative one, which takes ten bytes
        rest = rest.astype(np.uint8 if most < 128 else np.uint32)
        if most < 128:
            return _packed(rest)
    digits = []
    present = [np.ones(rest.shape, np.bool_)]
    while True:
        more = rest >> rest.dtype.type(7)
        digit = (rest & rest.dtype.type(127)).astype(np.uint8)
        digits.append(digit | ((more > 0).astype(np.uint8) << 7))
        if not more.any():
            break
        present.append(more > 0)
        rest = more
    kept = np.stack(present, axis=-1)
    flat = np.stack(digits, axis=-1)[kept].tobytes()
    ends = np.cumsum(kept.sum(axis=(1, 2))).tolist()
    return [_delimited(1, flat[begin:end]) for begin, end in itertools.pairwise([0, *ends])]


def _float_lists(column: np.ndarray) -> list[bytes]:
    """FloatList messages of `[examples, values]`."""
    return _packed(column.astype("<f4"))


def _packed(column: np.ndarray) -> list[bytes]:
    """Messages whose first field is each row's bytes as they are."""
    size = column.shape[1] * column.itemsize
    header, flat = _delimited(1, bytes(size))[: -size or None], column.tobytes()
    return [header + flat[begin : begin + size] for begin in range(0, len(flat), size)]


def _bytes_lists(column: np.ndarray) -> list[bytes]:
    """BytesList messages of `[examples, values]`."""
    flat = column.ravel().tolist()
    known = {value: _value(value) for value in set(flat)}
    fields = [known[value] for value in flat]
    width = column.shape[1]
    return [b"".join(fields[begin : begin + width]) for begin in range(0, len(flat), width)]


@functools.lru_cache(maxsize=262_144)  # a language's words, and no more of one's sources
def _value(value: bytes) -> bytes:
    """A value of a BytesList."""
    return _delimited(1, value)


_PAYLOADS = {"int64": _int64_lists, "float32": _float_lists, "string": _bytes_lists}
_FIELDS = {"string": 1, "float32": 2, "int64": 3}  # tf.train.Feature's fields


def parse_spec(spec: FeatureSpec) -> dict[str, tf.io.FixedLenFeature]:
    """The spec as `tf.io.parse_example` wants it."""
    return {
        name: tf.io.FixedLenFeature(stored.shape, _PARSED[stored.dtype])
        for name, stored in ((name, feature.stored) for name, feature in spec.items())
    }


def parse(serialized: tf.Tensor, spec: FeatureSpec) -> Mapping[str, tf.Tensor]:
    """Features of serialized examples, in graph.

    Args:
        serialized: string `[batch]`.

    Returns:
        `{name: [batch, *shape]}`; integers as int32, which XLA and embedding look-ups prefer.
    """
    parsed = tf.io.parse_example(serialized, parse_spec(spec))
    for name, feature in spec.items():
        if feature.decode is not None:
            shape = [-1, *feature.shape]
            parsed[name] = tf.reshape(feature.decode(parsed[name]), shape)
    return {
        name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
        for name, value in parsed.items()
    }


def length_buckets(time: int) -> np.ndarray:
    """Names of buckets of lengths, by which figures are also shown; bounds double from 32.

    Args:
        time: the longest length.

    Returns:
        Bytes `[time + 1]`: for every length its bucket's name, as `033-064`.
    """
    names = np.empty(time + 1, object)
    low, high = 0, 32
    while low <= time:
        names[low : high + 1] = f"{max(low, 1):03d}-{high:03d}".encode()
        low, high = high + 1, high * 2
    return names
