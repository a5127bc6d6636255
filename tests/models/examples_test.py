"""Tests of serializing, parsing and checking examples."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.errors import DataRefused
from models.examples import Serializer, parse, parse_spec, serialize
from models.objective import Feature

SPEC = {
    "ids": Feature((3,), "int64", "ids"),
    "grid": Feature((2, 2), "int64", "a table"),
    "weights": Feature((2,), "float32", "weights"),
    "source": Feature((1,), "string", "where from"),
}


def example(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "ids": np.array([1, 300, 70_000]),
        "grid": np.array([[0, 127], [128, 5]]),
        "weights": np.array([1.0, 0.25], np.float32),
        "source": np.array([b"paper"], object),
        **changes,
    }


def by_protobuf(values: dict[str, np.ndarray]) -> bytes:
    def feature(value: np.ndarray) -> tf.train.Feature:
        flat = value.ravel().tolist()
        if value.dtype.kind == "i":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))
        if value.dtype.kind == "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=flat))

    features = {name: feature(value) for name, value in values.items()}
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            example,
            ids=hnp.arrays(np.int64, 3),
            grid=hnp.arrays(np.int64, (2, 2), elements=st.integers(0, 200)),
            weights=hnp.arrays(np.float32, 2),
            source=st.binary(max_size=300).map(lambda value: np.array([value], object)),
        ),
        max_size=4,
    )
)
def test_the_bytes_equal_those_of_protocol_buffers(examples: list[dict[str, np.ndarray]]) -> None:
    assert Serializer(SPEC).serialize(examples) == [by_protobuf(values) for values in examples]


def test_serialized_examples_are_parsed_with_int32_ids() -> None:
    other = example(ids=np.array([7, 8, 9], np.int32), source=np.array([b""], object))
    batch = parse(tf.constant([serialize(example(), SPEC), serialize(other, SPEC)]), SPEC)
    assert batch["ids"].dtype == tf.int32
    assert batch["ids"].numpy().tolist() == [[1, 300, 70_000], [7, 8, 9]]
    assert batch["grid"].numpy().tolist() == [[[0, 127], [128, 5]]] * 2
    assert batch["weights"].numpy().tolist() == [[1.0, 0.25]] * 2
    assert batch["source"].numpy().tolist() == [[b"paper"], [b""]]


def test_examples_of_another_length_are_parsed_along_a_free_axis() -> None:
    def spec(time: int, masks: int) -> dict[str, Feature]:
        return {
            "ids": Feature((time,), "int64", "ids", axis="time"),
            "weights": Feature((masks,), "float32", "weights", axis="masks"),
            "grid": Feature((2, 2), "int64", "a table"),
        }

    def written(time: int, masks: int) -> bytes:
        grid = np.array([[1, 2], [3, 4]])
        values = {"ids": np.arange(time) + 1, "weights": np.ones(masks, np.float32), "grid": grid}
        return serialize(values, spec(time, masks))

    texts = tf.constant([written(5, 1), written(7, 2)])
    batch = parse(texts, spec(3, 2), any_length=True)
    assert batch["ids"].numpy().tolist() == [[1, 2, 3, 4, 5, 0, 0], [1, 2, 3, 4, 5, 6, 7]]
    assert batch["weights"].numpy().tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert batch["grid"].shape == (2, 2, 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse(texts, spec(3, 2))


def test_the_parse_spec_has_fixed_lengths() -> None:
    assert parse_spec(SPEC)["grid"] == tf.io.FixedLenFeature((2, 2), tf.int64)


@pytest.mark.parametrize(
    ("changes", "what", "where"),
    [
        ({"ids": np.array([1, 2])}, "int64 [2]; the spec says int64 [3]", "feature ids"),
        ({"ids": np.array([1.0, 2.0, 3.0])}, "float64 [3]", "feature ids"),
        ({"weights": np.array([1, 2])}, "the spec says float32 [2]", "feature weights"),
        ({"grid": np.array([0, 1, 2, 3])}, "the spec says int64 [2, 2]", "feature grid"),
        ({"extra": np.array([0])}, "a feature that its spec does not have", "feature extra"),
    ],
)
def test_the_error_names_the_feature_that_does_not_fit(
    changes: dict[str, np.ndarray], what: str, where: str
) -> None:
    with pytest.raises(DataRefused) as refused:
        Serializer(SPEC).serialize([example(), example(**changes)])
    assert what in refused.value.what
    assert refused.value.where == where


def test_the_error_names_a_missing_feature() -> None:
    short = example()
    del short["source"]
    with pytest.raises(DataRefused, match="lacks a feature that its spec has"):
        serialize(short, SPEC)


def test_a_feature_can_be_stored_as_strings_and_read_as_numbers() -> None:
    def lengths(words: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.strings.length(words), tf.zeros_like(words, tf.int32)], axis=-1)

    spec = {"sizes": Feature((3, 2), "int64", "of words", lengths)}
    stored = {"sizes": np.array([b"a", b"", b"ccc"], object)}
    assert spec["sizes"].stored == Feature((3,), "string", "of words")
    record = serialize(stored, spec)
    assert record == by_protobuf(stored)
    assert parse_spec(spec)["sizes"] == tf.io.FixedLenFeature((3,), tf.string)
    batch = parse(tf.constant([record, record]), spec)
    assert batch["sizes"].numpy().tolist() == [[[1, 0], [0, 0], [3, 0]]] * 2
    with pytest.raises(DataRefused, match="the spec says string"):
        serialize({"sizes": np.zeros((3, 2), np.int64)}, spec)
