"""Training examples as bytes and back, by an objective's feature spec: one schema at both ends."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.errors import DataRefused
from models.objective import Example, Feature, FeatureSpec

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
    for name, feature in spec.items():
        value = example[name]
        if value.shape != feature.shape or value.dtype.kind not in _KINDS[feature.dtype]:
            raise DataRefused(
                f"An example's feature is {value.dtype} {list(value.shape)}; "
                f"the spec says {feature.dtype} {list(feature.shape)}.",
                where=f"feature {name}",
                remedy="Make feature_spec and make_examples of the objective agree.",
            )


def serialize(example: Example, spec: FeatureSpec) -> bytes:
    """A serialized tf.Example, the same bytes for the same example.

    Raises:
        DataRefused: the example does not fit its spec; names the feature.
    """
    check(example, spec)
    features = {name: _feature(example[name], spec[name]) for name in spec}
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return message.SerializeToString(deterministic=True)


def _feature(value: np.ndarray, feature: Feature) -> tf.train.Feature:
    values = value.ravel().tolist()
    if feature.dtype == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if feature.dtype == "float32":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def parse_spec(spec: FeatureSpec) -> dict[str, tf.io.FixedLenFeature]:
    """The spec as `tf.io.parse_example` wants it."""
    return {
        name: tf.io.FixedLenFeature(feature.shape, _PARSED[feature.dtype])
        for name, feature in spec.items()
    }


def parse(serialized: tf.Tensor, spec: FeatureSpec) -> Mapping[str, tf.Tensor]:
    """Features of serialized examples, in graph.

    Args:
        serialized: string `[batch]`.

    Returns:
        `{name: [batch, *shape]}`; integers as int32, which XLA and embedding look-ups prefer.
    """
    parsed = tf.io.parse_example(serialized, parse_spec(spec))
    return {
        name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
        for name, value in parsed.items()
    }
