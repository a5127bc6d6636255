"""Measures the served model's loss on new text, before a new model is trained on that text.

A model reads the ids of its own vocabulary. If training starts from scratch with a new one, the
served model's loss on the new examples means nothing, so it is not measured.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tfx.utils import path_utils

from components.evaluation.results import read_evaluation
from components.layout import (
    EVALUATE_SIGNATURE,
    MODEL_TOKENIZER_FOLDER,
    SAVED_MODEL_FOLDER,
    TEST,
    TOKENIZER_FOLDER,
    WORDS_FILE,
    shard_files,
)
from components.lineage.properties import fingerprint
from models.metric import Metric

_MAX_EXAMPLES = 1_024  # from all files in turn: a few seconds for a small model
_BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class ServedLoss:
    """The served model's loss on a new span's text, before anything is trained on it.

    Attributes:
        metric: name of the loss, the objective's first metric.
        loss: the loss on the new text.
        before: the loss on the text that the model was blessed on; NaN if unknown.
    """

    metric: str
    loss: float
    before: float

    @property
    def relative_increase(self) -> float:
        """Increase of the loss relative to `before`; NaN if `before` is unknown."""
        return self.loss / self.before - 1 if self.before else math.nan


def same_vocabulary(model: str, examples: str) -> bool:
    """Whether a model has the vocabulary that examples were made with.

    Args:
        model: folder of a Model artifact.
        examples: folder of ExampleBuilder's Examples artifact.
    """
    tokenizer_of_model = pathlib.Path(model) / SAVED_MODEL_FOLDER / MODEL_TOKENIZER_FOLDER
    tokenizer_of_examples = pathlib.Path(examples) / TOKENIZER_FOLDER
    return tokenizer_fingerprint(tokenizer_of_model) == tokenizer_fingerprint(tokenizer_of_examples)


def tokenizer_fingerprint(folder: pathlib.Path) -> str:
    """SHA-256 of a tokenizer's files, without the file that says what they were made from."""
    names = sorted(path.name for path in folder.iterdir())
    return fingerprint(folder, [name for name in names if name != WORDS_FILE])


def served_loss(
    model: str, evaluation: str | None, examples: str, metric: Metric
) -> ServedLoss | None:
    """Measures the served model's loss on a sample of the split "test".

    Args:
        model: folder of the served model's Model artifact.
        evaluation: folder of the ModelEvaluation that the model was blessed by, if known.
        examples: folder of ExampleBuilder's Examples artifact.
        metric: the loss.

    Returns:
        The loss. None if the model has another vocabulary than the examples, or was exported by an
        older release and lacks an output that the loss needs.
    """
    if not same_vocabulary(model, examples):
        return None
    files = shard_files(examples, TEST)
    before = math.nan
    if evaluation and os.path.isdir(evaluation):
        before = read_evaluation(evaluation).overall.candidate.get(metric.name, math.nan)
    saved = tf.saved_model.load(path_utils.serving_model_path(model))
    outputs = saved.signatures[EVALUATE_SIGNATURE].structured_outputs
    if metric.numerator not in outputs or metric.denominator not in outputs:
        return None
    return ServedLoss(metric.name, _loss(saved, files, metric), before)


def _loss(saved: Any, files: Sequence[str], metric: Metric) -> float:
    records = tf.data.Dataset.from_tensor_slices(list(files)).interleave(
        lambda file: tf.data.TFRecordDataset(file, "GZIP"), cycle_length=len(files)
    )
    numerator = denominator = 0.0
    for batch in records.take(_MAX_EXAMPLES).batch(_BATCH_SIZE):
        sums = saved.signatures[EVALUATE_SIGNATURE](examples=batch)
        numerator += float(tf.reduce_sum(tf.cast(sums[metric.numerator], tf.float64)))
        denominator += float(tf.reduce_sum(tf.cast(sums[metric.denominator], tf.float64)))
    return numerator / denominator if denominator else math.nan
