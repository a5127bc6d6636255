"""Writes the index of files of examples, as ExampleBuilder does, for files that a test wrote."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.training.example_index import write_index


def index_files(files: Sequence[str]) -> list[str]:
    """Writes the index of all files of a folder; returns the files."""
    lengths = {}
    for path in files:
        records = tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator()
        features = [tf.train.Example.FromString(record).features.feature for record in records]
        masks = [feature["padding_mask"].int64_list.value for feature in features]
        lengths[pathlib.Path(path).name] = np.array([sum(mask) for mask in masks], np.int64)
    write_index(pathlib.Path(files[0]).parent, lengths)
    return list(files)
