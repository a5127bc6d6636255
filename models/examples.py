"""Serializes training examples, and parses them, as the objective's feature spec says."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.errors import DataRefused
from models.objective import Example, Examples, FeatureSpec

if TYPE_CHECKING:
    import tensorflow as tf

_KINDS = {"int64": "iu", "float32": "f", "string": "OS"}  # NumPy's kinds that a feature may have
_LONG = 64  # bytes of a string that is unlikely to occur again


def check(example: Example, spec: FeatureSpec) -> None:
    """Checks that an example has the features of its spec, with their shapes and types.

    Raises:
        DataRefused: a feature is missing, unknown, or of another shape or type; names the feature.
    """
    for name in spec.keys() ^ example.keys():
        raise DataRefused(
            f"An example {'lacks' if name in spec else 'has'} a feature that its spec "
            f"{'has' if name in spec else 'does not have'}.",
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
    """Serializes examples of one spec as tf.Examples, many at once.

    Writes the wire format of protocol buffers from whole columns, about five times as fast as
    building messages; the bytes are those of `SerializeToString(deterministic=True)`.
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
            DataRefused: the examples do not fit the spec; names the feature.
        """
        check({n: np.empty(c.shape[1:], c.dtype) for n, c in examples.items()}, self._spec)
        parts: list[Sequence[bytes]] = []
        fixed: list[np.ndarray] = []  # adjacent features whose size is the same in all examples
        for name in sorted(self._spec):
            column = examples[name].reshape(len(examples[name]), -1)
            payloads = _PAYLOADS[self._spec[name].dtype](column)
            if isinstance(payloads, np.ndarray):
                header = np.frombuffer(self._header(name, payloads.shape[1]), np.uint8)
                fixed += [np.broadcast_to(header, (len(column), len(header))), payloads]
                continue
            parts += [_cut(np.hstack(fixed))] if fixed else []
            fixed = []
            sizes = [*map(len, payloads)]
            headers = {size: self._header(name, size) for size in set(sizes)}
            parts += [headers[size] for size in sizes], payloads
        parts += [_cut(np.hstack(fixed))] if fixed else []
        rows = [*map(b"".join, zip(*parts, strict=True))]
        return [_prefix(1, len(row)) + row for row in rows]

    def _header(self, name: str, size: int) -> bytes:
        """The bytes before a feature's payload: a map entry's key and all lengths."""
        if size not in (headers := self._headers[name]):
            dtype = self._spec[name].dtype
            header = b"" if dtype == "string" else _prefix(1, size)
            for field in (_FIELDS[dtype], 2):
                header = _prefix(field, len(header) + size) + header
            header = _prefix(1, len(name.encode())) + name.encode() + header
            headers[size] = _prefix(1, len(header) + size) + header
        return headers[size]


def unstack(examples: Examples) -> list[Example]:
    """A list of the examples."""
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
    """The bytes before a payload of `size` bytes: the field's key, and the size as a varint."""
    return bytes([field << 3 | 2]) + _varint(size)


def _int64_lists(column: np.ndarray) -> np.ndarray | list[bytes]:
    """Packed varints of `[examples, values]`, seven bits to a byte, the lowest first.

    Returns:
        An array `[examples, values]` if each value fits into one byte, else the bytes of each
        example.
    """
    low, high = (column.min(), column.max()) if column.size else (0, 0)
    if low >= 0 and high < 1 << 7:
        return column.astype(np.uint8)
    if low < 0 or high >= 1 << 28:
        return [b"".join(map(_varint, row)) for row in column.tolist()]
    # Each value gets as many bytes as the largest needs; the unused ones are dropped at the end.
    values = column.astype("<u2" if high < 1 << 14 else "<u4")
    spread, kept = values & 127, np.ones_like(values)
    sizes = np.full(len(values), values.shape[1])
    for byte in range(1, values.itemsize):
        more = (values >= 1 << 7 * byte).astype(values.dtype)
        spread |= ((values >> 7 * byte & 127) << 8 * byte) | (more << 8 * byte - 1)
        kept |= more << 8 * byte
        sizes += more.sum(axis=1, dtype=np.int64)
    flat = spread.view(np.uint8)[kept.view(np.bool_)].tobytes()
    ends = np.cumsum(sizes).tolist()
    return [flat[begin:end] for begin, end in itertools.pairwise([0, *ends])]


@functools.lru_cache(maxsize=65_536)
def _varint(value: int) -> bytes:
    """An int64 as a varint; negative numbers modulo 2⁶⁴."""
    value %= 1 << 64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _float_lists(column: np.ndarray) -> np.ndarray:
    """Packed floats of `[examples, values]`, bytes `[examples, 4 values]`."""
    return column.astype("<f4", order="C").view(np.uint8)


def _cut(rows: np.ndarray) -> list[bytes]:
    """The bytes of each row."""
    size, flat = rows.shape[1], rows.tobytes()
    return [flat[begin : begin + size] for begin in range(0, len(flat), size)]


def _bytes_lists(column: np.ndarray) -> list[bytes]:
    """BytesList messages of `[examples, values]`."""
    flat = column.ravel().tolist()
    known = {
        value: _value(value) if len(value) < _LONG else _delimited(1, value) for value in set(flat)
    }
    fields = [known[value] for value in flat]
    width = column.shape[1]
    return [b"".join(fields[begin : begin + width]) for begin in range(0, len(flat), width)]


@functools.lru_cache(maxsize=262_144)  # the words of a language and the names of sources
def _value(value: bytes) -> bytes:
    """A value of a BytesList."""
    return _delimited(1, value)


_PAYLOADS = {"int64": _int64_lists, "float32": _float_lists, "string": _bytes_lists}
_FIELDS = {"string": 1, "float32": 2, "int64": 3}  # tf.train.Feature's fields


def parse_spec(spec: FeatureSpec) -> dict[str, tf.io.FixedLenFeature]:
    """The spec in the form that `tf.io.parse_example` takes."""
    import tensorflow as tf  # writing examples needs no TensorFlow

    return {
        name: tf.io.FixedLenFeature(stored.shape, stored.dtype)
        for name, stored in ((name, feature.stored) for name, feature in spec.items())
    }


def parse(
    serialized: tf.Tensor, spec: FeatureSpec, *, any_length: bool = False
) -> Mapping[str, tf.Tensor]:
    """Features of serialized examples, in graph.

    Args:
        serialized: string `[batch]`.
        any_length: whether features with a free first axis may have another length than in the
            spec; they are padded with 0 to the longest of the batch.

    Returns:
        `{name: [batch, *shape]}`; integers as int32, which XLA and embedding look-ups prefer.
    """
    import tensorflow as tf

    features = parse_spec(spec)
    if any_length:
        features |= {
            name: tf.io.FixedLenSequenceFeature(
                feature.stored.shape[1:], feature.stored.dtype, allow_missing=True
            )
            for name, feature in spec.items()
            if feature.axis
        }
    parsed = tf.io.parse_example(serialized, features)
    for name, feature in spec.items():
        if feature.decode is not None:
            shape = [-1, *feature.shape]
            parsed[name] = tf.reshape(feature.decode(parsed[name]), shape)
    return {
        name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
        for name, value in parsed.items()
    }


def length_buckets(time: int) -> np.ndarray:
    """Names of length buckets, by which metrics are sliced; their bounds double from 32.

    Args:
        time: the longest length.

    Returns:
        Bytes `[time + 1]`: the name of each length's bucket, as `033-064`.
    """
    names = np.empty(time + 1, object)
    low, high = 0, 32
    while low <= time:
        names[low : high + 1] = f"{max(low, 1):03d}-{high:03d}".encode()
        low, high = high + 1, high * 2
    return names
