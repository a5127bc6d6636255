"""Byte-pair merges as a SentencePiece model, the form in which tensorflow-text runs them in graph.

The model is a protocol buffer of which a few fields are needed: to write them here spares the
`sentencepiece` package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3  # types of a piece
_BPE = 2  # type of a model
_MOST_RANKS = 1 << 24  # a score is a float32, which holds integers exactly up to here


def bpe_model(
    entries: Sequence[str], letters: Sequence[str], ranks: Mapping[str, int], unknown: str
) -> bytes:
    """A model that merges the neighbours whose concatenation has the lowest rank, leftmost first.

    It takes texts as they are: no normalization, no dummy prefix, white space like any character.

    Args:
        entries: in the order of their ids, distinct.
        letters: the entries that texts are made of, one character each.
        ranks: those that merges make, with distinct ranks.
        unknown: the entry for what is no letter. As all others that are neither letter nor ranked,
            no letters make it, not even if a text spells it.

    Returns:
        A serialized `sentencepiece.ModelProto`.
    """
    assert max(ranks.values(), default=0) < _MOST_RANKS
    texts = set(letters)

    def pieces() -> Iterator[bytes]:
        for entry in entries:
            known = entry != unknown and (entry in ranks or entry in texts)
            kind = _NORMAL if known else _UNKNOWN if entry == unknown else _CONTROL
            piece = _bytes(1, entry.encode()) + _float(2, -ranks.get(entry, 0)) + _integer(3, kind)
            yield _bytes(1, piece)

    trainer = _integer(3, _BPE)
    # No dummy prefix, no white space removed, none escaped: all three are on by default.
    normalizer = _bytes(1, b"identity") + b"".join(_integer(field, 0) for field in (3, 4, 5))
    return b"".join(pieces()) + _bytes(2, trainer) + _bytes(3, normalizer)


# A field is its number and wire type, then its value.


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth set."""
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])
