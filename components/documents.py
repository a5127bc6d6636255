"""The document: what TextExampleGen writes and the steps after it read.

A document travels as one tf.Example with the features of `Document` and, for data validation,
features that mean something for text.
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
    """One text.

    Attributes:
        id: unique within a span.
        text: Unicode, NFC, not blank.
        source: where it comes from; metrics are sliced by it.
        lang: language code.
        timestamp: seconds since 1970 UTC, negative before, 0 if unknown.
    """

    id: str
    text: str
    source: str
    lang: str
    timestamp: int


class Place(NamedTuple):
    """Where a document's id puts it: the split, and the shard of the split."""

    split: str
    shard: int


def place_of(
    document_id: str, *, test_share: float, eval_share: float, shards: Mapping[str, int]
) -> Place:
    """Places a document by the SHA-256 of its id, alike on every run, machine and span.

    A document of the split "test" stays one whatever `eval_share` is.

    Args:
        document_id: the id.
        test_share, eval_share: shares of all ids.
        shards: of each split.
    """
    drawn = chance(document_id)
    held_out = TEST if drawn < test_share else EVAL
    split = held_out if drawn < test_share + eval_share else TRAIN
    digest = hashlib.sha256(document_id.encode()).digest()  # other bytes of it than `chance` takes
    return Place(split, int.from_bytes(digest[8:16], "big") % shards[split])


def chance(key: str) -> float:
    """A number of [0, 1) that a key decides, by its SHA-256."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64


def text_hash(text: str) -> str:
    """Returns 32 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_SPEC = {
    "id": Feature((1,), "string", "unique within a span"),
    "text": Feature((1,), "string", "UTF-8"),
    "source": Feature((1,), "string", "where it comes from"),
    "lang": Feature((1,), "string", "language code"),
    "timestamp": Feature((1,), "int64", "seconds since 1970 UTC"),
    "characters": Feature((1,), "int64", "of the text"),
    "duplicate": Feature((1,), "int64", "1 if a document earlier in the span has the same text"),
    "non_letter_share": Feature((1,), "float32", "share of the text's characters"),
    "replacement_share": Feature((1,), "float32", "share of the text's characters: U+FFFD"),
}


def serialize(documents: Sequence[Document], repeats: Container[str] = ()) -> list[bytes]:
    """Returns documents as the bytes of tf.Examples, one each.

    Args:
        documents: the documents.
        repeats: ids of those whose text a document earlier in the span has.

    Returns:
        Features id, text, source, lang (bytes), timestamp, characters, duplicate (int64),
        non_letter_share, replacement_share (float; shares of the text's characters).
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
        "duplicate": np.array([int(document.id in repeats) for document in documents]),
        "non_letter_share": [non_letters(document.text) for document in documents] / characters,
        "replacement_share": [d.text.count("\ufffd") for d in documents] / characters,
    }
    for name in ("non_letter_share", "replacement_share"):
        columns[name] = columns[name].astype(np.float32)
    return Serializer(_SPEC).serialize_columns({n: c[:, None] for n, c in columns.items()})


def parse(serialized: bytes) -> Document:
    """Returns the document of a tf.Example that `serialize` wrote."""
    import tensorflow as tf  # not to be paid for by those who write

    feature = tf.train.Example.FromString(serialized).features.feature
    return Document(
        id=feature["id"].bytes_list.value[0].decode(),
        text=feature["text"].bytes_list.value[0].decode(),
        source=feature["source"].bytes_list.value[0].decode(),
        lang=feature["lang"].bytes_list.value[0].decode(),
        timestamp=feature["timestamp"].int64_list.value[0],
    )


def read_documents(shard: str | os.PathLike[str]) -> list[Document]:
    """Returns the documents of a file of TextExampleGen's artifact, in its order."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset(os.fspath(shard), "GZIP").as_numpy_iterator()
    return [parse(record) for record in records]


def non_letters(text: str) -> int:
    """Counts the characters that are neither letters, nor marks upon letters, nor white space."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    table, known = _letters_and_spaces()
    blocks = np.flatnonzero(np.bincount(codes >> _BLOCK_BITS, minlength=len(known)))
    for block in blocks[~known[blocks]].tolist():
        first = block << _BLOCK_BITS
        table[first : first + (1 << _BLOCK_BITS)] = [
            unicodedata.category(character)[0] in "LM" or character.isspace()
            for character in map(chr, range(first, first + (1 << _BLOCK_BITS)))
        ]
        known[block] = True
    return len(codes) - int(np.count_nonzero(table[codes]))


@functools.cache
def _letters_and_spaces() -> tuple[np.ndarray, np.ndarray]:
    """What is known so far, block by block: all of Unicode takes a second.

    Returns:
        bool [code points of Unicode]: letters (L*), marks (M*) and white space; bool [blocks].
        Marks are letters here: without them a text in Devanagari would be a third non-letters.
    """
    points = sys.maxunicode + 1
    return np.zeros(points, np.bool_), np.zeros(points >> _BLOCK_BITS, np.bool_)


class ReadDocuments(beam.PTransform):
    """Reads one split of TextExampleGen's artifact, in no order.

    Args:
        uri: the artifact's folder.
        split: one of `components.layout.SPLITS`.

    Returns:
        A PCollection of `Document`.
    """

    def __init__(self, uri: str, split: str) -> None:
        super().__init__()
        self._pattern = str(split_folder(uri, split) / SHARDS)

    def expand(self, begin: Any) -> Any:
        """Reads the split's shards."""
        # Any, as Beam would else carry a NamedTuple as a row and give back another type.
        return (
            begin
            | "Read" >> beam.io.ReadFromTFRecord(self._pattern)
            | "Parse" >> beam.Map(parse).with_output_types(Any)
        )
