"""The served model on a new span's text: whether the two go together, and its loss before training.

A model reads ids of its own vocabulary. Where training begins anew with another vocabulary, what
the served model says of the new examples means nothing: it is then not compared.
"""

import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tfx import types
from tfx import v1 as tfx
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.evaluation.metrics import read_evaluation
from components.layout import PROVENANCE_FILE, TOKENIZER_FOLDER, WORDS_FILE
from components.lineage.properties import fingerprint
from components.serving.export import EVALUATE, TOKENIZER
from models.objective import Metric

_EXAMPLES = 1_024  # looked at, of all files in turn: a few seconds' work for a small model
_AT_ONCE = 128
_BASELINE = "baseline_model"
_log = logging.getLogger("polyseme.evaluator")


@dataclasses.dataclass(frozen=True)
class ServedLoss:
    """The served model's loss on a new span's text, before anything is trained on it.

    Attributes:
        metric: the name of the loss, the first of the objective's metrics.
        loss: on the new text.
        before: on the text that the model was blessed on; NaN if that is not known any more.
    """

    metric: str
    loss: float
    before: float

    @property
    def rise(self) -> float:
        """How much more it is, as a share of what it was; NaN if that is not known."""
        return self.loss / self.before - 1 if self.before else math.nan


class Executor(executor.Executor):
    """TFX's executor, which compares with the served model only where both read the same ids."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates, and blesses or not."""
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        for served in input_dict.get(_BASELINE) or ():
            if not reads(served.uri, examples.uri):
                input_dict = {
                    name: given for name, given in input_dict.items() if name != _BASELINE
                }
                _log.warning(
                    "the model is not compared with the served one, which has another vocabulary"
                )
        super().Do(input_dict, output_dict, exec_properties)


class Evaluator(tfx.components.Evaluator):
    """TFX's Evaluator with `Executor`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)


def reads(model: str, examples: str) -> bool:
    """Whether a model has the vocabulary that examples were made with.

    Args:
        model: the folder of a Model artifact.
        examples: the folder of ExampleBuilder's.
    """
    own = (pathlib.Path(model) / PROVENANCE_FILE).parent / TOKENIZER
    folders = (own, pathlib.Path(examples) / TOKENIZER_FOLDER)
    first, second = (tokenizer_fingerprint(folder) for folder in folders)
    return first == second


def tokenizer_fingerprint(folder: pathlib.Path) -> str:
    """SHA-256 of a tokenizer's files, without what they were made of."""
    names = sorted(path.name for path in folder.iterdir())
    return fingerprint(folder, [name for name in names if name != WORDS_FILE])


def served_loss(
    model: str, evaluation: str | None, examples: str, metric: Metric
) -> ServedLoss | None:
    """The served model's loss on some of the split "test"; None if it cannot tell it.

    It cannot if it has another vocabulary than the examples, or, of an older release, other sums.

    Args:
        model: the folder of its Model artifact.
        evaluation: the folder of the ModelEvaluation that it was blessed by, if it is known.
        examples: the folder of ExampleBuilder's.
        metric: the loss.
    """
    if not reads(model, examples):
        return None
    files = sorted(map(str, (pathlib.Path(examples) / "Split-test").glob("*.tfrecord.gz")))
    before = math.nan
    if evaluation and os.path.isdir(evaluation):
        before = read_evaluation(evaluation).overall.candidate.get(metric.name, math.nan)
    saved = tf.saved_model.load(path_utils.serving_model_path(model))
    sums = saved.signatures[EVALUATE].structured_outputs
    if metric.numerator not in sums or metric.denominator not in sums:
        return None
    return ServedLoss(metric.name, _loss(saved, files, metric), before)


def _loss(saved: Any, files: Sequence[str], metric: Metric) -> float:
    records = tf.data.Dataset.from_tensor_slices(list(files)).interleave(
        lambda file: tf.data.TFRecordDataset(file, "GZIP"), cycle_length=len(files)
    )
    above = below = 0.0
    for batch in records.take(_EXAMPLES).batch(_AT_ONCE):
        sums = saved.signatures[EVALUATE](examples=batch)
        above += float(tf.reduce_sum(tf.cast(sums[metric.numerator], tf.float64)))
        below += float(tf.reduce_sum(tf.cast(sums[metric.denominator], tf.float64)))
    return above / below if below else math.nan
