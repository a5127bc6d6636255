"""Converts byte-pair merges into a SentencePiece model, which tensorflow-text runs in graph.

The model is a protocol buffer. Only a few fields are needed, and writing them here avoids a
dependency on the `sentencepiece` package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3  # types of pieces
_BPE = 2  # type of the model
_MAX_RANKS = 1 << 24  # a score is a float32, which holds integers exactly up to this number


def bpe_model(
    entries: Sequence[str], letters: Sequence[str], ranks: Mapping[str, int], unknown: str
) -> bytes:
    """A model that merges the neighbors whose concatenation has the lowest rank, leftmost first.

    It does not normalize texts, adds no dummy prefix, and treats white space like any character.

    Args:
        entries: distinct, in the order of their ids.
        letters: the entries of one character that texts consist of.
        ranks: the entries that merges make → their ranks, which are distinct.
        unknown: the entry for characters that are no letters. Like every entry that is neither a
            letter nor ranked, it is never the result of a merge, even if a text spells it.

    Returns:
        A serialized `sentencepiece.ModelProto`.
    """
    assert max(ranks.values(), default=0) < _MAX_RANKS
    single_letters = set(letters)

    def pieces() -> Iterator[bytes]:
        for entry in entries:
            normal = entry != unknown and (entry in ranks or entry in single_letters)
            kind = _NORMAL if normal else _UNKNOWN if entry == unknown else _CONTROL
            piece = _bytes(1, entry.encode()) + _float(2, -ranks.get(entry, 0)) + _integer(3, kind)
            yield _bytes(1, piece)

    trainer = _integer(3, _BPE)
    # Turns off three defaults: a dummy prefix, and removing and escaping white space.
    normalizer = _bytes(1, b"identity") + b"".join(_integer(field, 0) for field in (3, 4, 5))
    return b"".join(pieces()) + _bytes(2, trainer) + _bytes(3, normalizer)


# The encoding of protocol buffers: a field is its number and wire type, then its value.


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    """Seven bits per byte, the lowest first; the eighth bit is set in all bytes but the last."""
    leading = bytearray()
    while value > 0x7F:
        leading.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*leading, value])
