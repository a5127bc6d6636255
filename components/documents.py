"""The `Document` type, and how documents are assigned to splits and stored.

TextExampleGen writes each document as one tf.Example, with the fields of `Document` and features
about the text that data validation uses. The steps after it read them.
"""

import functools
import hashlib
import os
import sys
import unicodedata
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from components.layout import EVAL, SHARDS, TEST, TRAIN, split_folder
from models.examples import Serializer
from models.objective import Feature

_BLOCK_BITS = 8


class Document(NamedTuple):
    """One text and where it comes from.

    Attributes:
        id: unique within a span.
        text: Unicode, NFC, not blank.
        source: name of the source; metrics are sliced by it.
        lang: language code.
        timestamp: seconds since 1970 UTC, negative for earlier times, 0 if unknown.
    """

    id: str
    text: str
    source: str
    lang: str
    timestamp: int


class Place(NamedTuple):
    """The split and the shard of the split that a document's id assigns it to."""

    split: str
    shard: int


def place_of(
    document_id: str, *, test_share: float, eval_share: float, shards: Mapping[str, int]
) -> Place:
    """Assigns a document to a split and a shard by the SHA-256 of its id.

    The result is the same in every run, on every machine and in every span. Whether a document is
    in the split "test" does not depend on `eval_share`.

    Args:
        document_id: the document's id.
        test_share, eval_share: shares of all ids.
        shards: number of shards of each split.
    """
    digest = hashlib.sha256(document_id.encode()).digest()
    split_draw = _unit_interval(digest[:8])
    held_out = TEST if split_draw < test_share else EVAL
    split = held_out if split_draw < test_share + eval_share else TRAIN
    # The shard comes from other bytes than the split, so that the two are independent.
    return Place(split, int.from_bytes(digest[8:16], "big") % shards[split])


def unit_hash(key: str) -> float:
    """A number in [0, 1) computed from the SHA-256 of a key."""
    return _unit_interval(hashlib.sha256(key.encode()).digest()[:8])


def _unit_interval(first_bytes: bytes) -> float:
    return int.from_bytes(first_bytes, "big") / 2.0**64


def text_hash(text: str) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_SPEC = {
    "id": Feature((1,), "string", "unique within a span"),
    "text": Feature((1,), "string", "UTF-8"),
    "source": Feature((1,), "string", "name of the source"),
    "lang": Feature((1,), "string", "language code"),
    "timestamp": Feature((1,), "int64", "seconds since 1970 UTC"),
    "characters": Feature((1,), "int64", "of the text"),
    "duplicate": Feature((1,), "int64", "1 if a document earlier in the span has the same text"),
    "non_letter_share": Feature((1,), "float32", "share of the text's characters"),
    "replacement_share": Feature((1,), "float32", "share of the text's characters: U+FFFD"),
}


def serialize(documents: Sequence[Document], duplicates: Container[str] = ()) -> list[bytes]:
    """Converts documents to serialized tf.Examples, one per document.

    Args:
        documents: the documents.
        duplicates: ids of the documents whose text occurs earlier in the span.

    Returns:
        Examples with the features id, text, source, lang (bytes), timestamp, characters, duplicate
        (int64), non_letter_share and replacement_share (float, shares of the text's characters).
    """
    if not documents:
        return []
    characters = np.array([len(document.text) for document in documents])
    columns: dict[str, Any] = {
        name: np.array([getattr(document, name).encode() for document in documents], object)
        for name in ("id", "text", "source", "lang")
    }
    columns |= {
        "timestamp": np.array([document.timestamp for document in documents], np.int64),
        "characters": characters,
        "duplicate": np.array([int(document.id in duplicates) for document in documents]),
        "non_letter_share": [count_non_letters(document.text) for document in documents]
        / characters,
        "replacement_share": [document.text.count("\ufffd") for document in documents] / characters,
    }
    for name in ("non_letter_share", "replacement_share"):
        columns[name] = columns[name].astype(np.float32)
    return Serializer(_SPEC).serialize_columns(
        {name: column[:, None] for name, column in columns.items()}
    )


def parse(serialized: bytes) -> Document:
    """Reads the document from a tf.Example that `serialize` wrote."""
    import tensorflow as tf  # imported here because workers that only write need not load it

    feature = tf.train.Example.FromString(serialized).features.feature
    return Document(
        id=feature["id"].bytes_list.value[0].decode(),
        text=feature["text"].bytes_list.value[0].decode(),
        source=feature["source"].bytes_list.value[0].decode(),
        lang=feature["lang"].bytes_list.value[0].decode(),
        timestamp=feature["timestamp"].int64_list.value[0],
    )


def read_documents(shard: str | os.PathLike[str]) -> list[Document]:
    """Reads the documents of one shard, in the order of the file."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset(os.fspath(shard), "GZIP").as_numpy_iterator()
    return [parse(record) for record in records]


def count_non_letters(text: str) -> int:
    """Counts the characters that are neither letters, nor combining marks, nor white space."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    is_letter_or_space, filled = _letters_and_spaces()
    blocks = np.flatnonzero(np.bincount(codes >> _BLOCK_BITS, minlength=len(filled)))
    for block in blocks[~filled[blocks]].tolist():
        first = block << _BLOCK_BITS
        is_letter_or_space[first : first + (1 << _BLOCK_BITS)] = [
            unicodedata.category(character)[0] in "LM" or character.isspace()
            for character in map(chr, range(first, first + (1 << _BLOCK_BITS)))
        ]
        filled[block] = True
    return len(codes) - int(np.count_nonzero(is_letter_or_space[codes]))


@functools.cache
def _letters_and_spaces() -> tuple[np.ndarray, np.ndarray]:
    """A lookup table of characters, filled block by block because all of Unicode takes a second.

    Returns:
        bool `[code points]`, true for letters (L*), marks (M*) and white space; and bool
        `[blocks]`, true for blocks of the table that are filled. Marks count as letters, because
        otherwise a third of a text in Devanagari would be non-letters.
    """
    points = sys.maxunicode + 1
    return np.zeros(points, np.bool_), np.zeros(points >> _BLOCK_BITS, np.bool_)


class ReadDocuments(beam.PTransform):
    """Beam transform that reads the documents of one split, in no particular order.

    Args:
        uri: folder of an Examples artifact of TextExampleGen or TextCleaner.
        split: one of `components.layout.SPLITS`.

    Returns:
        A PCollection of `Document`.
    """

    def __init__(self, uri: str, split: str) -> None:
        super().__init__()
        self._pattern = str(split_folder(uri, split) / SHARDS)

    def expand(self, begin: Any) -> Any:
        """Reads the split's shards."""
        # With the type hint Document, Beam would encode it as a row and decode another type.
        return (
            begin
            | "Read" >> beam.io.ReadFromTFRecord(self._pattern)
            | "Parse" >> beam.Map(parse).with_output_types(Any)
        )
