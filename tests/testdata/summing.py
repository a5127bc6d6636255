"""A minimal objective for tests of the training loop, and its examples."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from models.examples import Serializer
from models.objective import Feature, Loss

TIME = 4


class SummingObjective:
    """A linear model with dropout that reads `TIME` numbers."""

    def feature_spec(self):
        return {
            "padding_mask": Feature((TIME,), "int64", "1 = real", axis="time"),
            "label": Feature((1,), "float32", "the sum to predict"),
            "source": Feature((1,), "string", "slice key"),
        }

    def build_model(self, dropout=0.5):
        mask = keras.Input((None,), dtype="int32", name="padding_mask")
        label = keras.Input((1,), dtype="float32", name="label")
        real = keras.ops.cast(mask, "float32")
        positions = keras.ops.arange(TIME)[None, :]  # real ones come first
        count = keras.ops.sum(real, axis=-1, keepdims=True)
        is_real = keras.ops.less(positions, keras.ops.cast(count, "int32"))
        numbers = keras.ops.cast(is_real, "float32") * label
        hidden = keras.layers.Dropout(dropout)(keras.layers.Dense(8, name="hidden")(numbers))
        error = keras.ops.square(keras.layers.Dense(1, name="out")(hidden) - label)
        weight = keras.ops.sum(keras.ops.cast(mask, "float32"), axis=-1)
        outputs = {"squares": error[:, 0] * weight, "count": weight}
        return keras.Model({"padding_mask": mask, "label": label}, outputs)

    def losses(self):
        return [Loss("squares", "count")]

    def multiply_adds(self, model, time):
        return time * 8 + 8

    def logits_per_example(self):
        return 8

    def denominators(self, features):
        return {"count": tf.reduce_sum(tf.cast(features["padding_mask"], tf.float32), -1)}


def write_examples(path: pathlib.Path, examples: int, rng: np.random.Generator) -> None:
    """Writes a gzip TFRecord file with this number of examples."""
    rows = [
        {
            "padding_mask": (np.arange(TIME) < rng.integers(1, TIME + 1)).astype(np.int64),
            "label": rng.normal(size=1).astype(np.float32),
            "source": np.array([b"a"], object),
        }
        for _ in range(examples)
    ]
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for serialized in Serializer(SummingObjective().feature_spec()).serialize(rows):
            writer.write(serialized)


def fresh_model(**kwargs):
    """A new model, whose initial weights are always the same."""
    keras.utils.set_random_seed(1)
    return SummingObjective().build_model(**kwargs)
