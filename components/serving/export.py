"""Exports a trained model and its tokenizer as one SavedModel that takes raw strings."""

import base64
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.layout import (
    CONFIG_FILE,
    EVALUATE_SIGNATURE,
    MODEL_TOKENIZER_FOLDER,
    PROVENANCE_FILE,
)
from components.serving.probe import ANSWERS, ASSETS, WARMUP, digest
from components.storage.publish import published_folder
from models.examples import parse, serialize
from models.metric import Metric
from models.objective import Loss, Objective, numeric_features
from models.tokenizers.tokenizer import Tokenizer
from models.training.held_out import evaluation_batch_size

_log = logging.getLogger("polyseme.exporter")

WARMUP_LOG = "tf_serving_warmup_requests"
"""TF Serving's name for the file of requests that it runs when it loads a version."""


class _Servable(tf.Module):
    """Tracks everything that the signatures use; TensorFlow saves only what is tracked.

    A warm start reads the weights with `tf.train.Checkpoint(model=…)`, so the attribute's name is
    part of the format. The baselines' tables, which `evaluate` uses, are not weights.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        super().__init__(name="polyseme")
        self.model = model
        self.tokenizer = tokenizer
        self.baselines = [table for baseline in model.baselines for table in baseline.tables]


def export(
    model: Any,
    objective: Objective,
    tokenizer: Tokenizer,
    folder: str | pathlib.Path,
    *,
    config_json: str,
    provenance: Mapping[str, Any],
) -> None:
    """Writes a SavedModel that needs only tensorflow and tensorflow_text, atomically.

    It has the objective's signatures, and `evaluate` (`examples`, serialized examples, string
    `[batch]` → the model's sums, float32 `[batch]` each). The folder `assets.extra/` has
    `config.json`, `provenance.json`, `tokenizer/`, `warmup.json` (requests by signature, with bytes
    as `{"b64": …}` as in TF Serving's REST API), `warmup_answers.json` (digests of the model's
    answers, for the serving check) and `tf_serving_warmup_requests`.

    Args:
        model: the trained model, made by `objective.build_model`.
        objective: the model's objective.
        tokenizer: the model's tokenizer.
        folder: the SavedModel's folder, which is replaced if it exists.
        config_json: the run's resolved configuration.
        provenance: the model's origin: corpus fingerprint, spans, code version.

    Raises:
        TypeError: a signature does not return a dictionary.
    """
    folder = pathlib.Path(folder)
    functions = {
        **objective.signatures(model, tokenizer),
        EVALUATE_SIGNATURE: evaluate_signature(model, objective),
    }
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    for name, signature in signatures.items():
        if not isinstance(signature.structured_outputs, Mapping):
            raise TypeError(f"signature {name} returns no dict, so its outputs have no names")
    with published_folder(folder) as partial:
        tf.saved_model.save(_Servable(model, tokenizer), str(partial), signatures=signatures)
        assets = partial / ASSETS
        (partial / MODEL_TOKENIZER_FOLDER).mkdir(parents=True)
        tokenizer.save(partial / MODEL_TOKENIZER_FOLDER)
        _write_json(partial / PROVENANCE_FILE, provenance)
        (assets / CONFIG_FILE).write_text(config_json, encoding="utf-8")
        _write_warmup(
            assets,
            signatures,
            {**objective.warmup_requests(), EVALUATE_SIGNATURE: [_blank(objective)]},
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _log.info("exported %.1f MB with signatures %s", size / 1e6, ", ".join(sorted(signatures)))


def evaluate_signature(model: Any, objective: Objective) -> Any:
    """A function from serialized examples, string `[batch]`, to sums, float32 `[batch]`.

    The sums are those that the objective's losses and metrics name. Examples may be longer or
    shorter than the examples of training. A large batch is computed in parts: TFMA sends up to
    1,000 examples at once, whose logits over a vocabulary would fill the memory.
    """
    spec = numeric_features(objective.feature_spec())
    chunk = evaluation_batch_size(objective)
    ratios: list[Metric | Loss] = [*objective.config.metrics(), *objective.losses()]
    names = sorted({name for ratio in ratios for name in (ratio.numerator, ratio.denominator)})

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def evaluate(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = tf.maximum(1, -(-tf.size(examples) // chunk))

        def compute(part: tf.Tensor, sums: dict[str, tf.TensorArray]) -> Any:
            start = part * chunk
            features = parse(examples[start : start + chunk], spec, any_length=True)
            outputs = model(features, training=False)
            return part + 1, {
                name: array.write(part, tf.cast(outputs[name], tf.float32))
                for name, array in sums.items()
            }

        empty = {
            name: tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None])
            for name in names
        }
        _, sums = tf.while_loop(
            lambda part, _: part < parts, compute, (0, empty), parallel_iterations=1
        )
        return {name: array.concat() for name, array in sums.items()}

    return evaluate


def _blank(objective: Objective) -> Mapping[str, list[bytes]]:
    """A warm-up request to `evaluate`: one example of zeros."""
    spec = objective.feature_spec()
    stored = {name: feature.stored for name, feature in spec.items()}
    example = {
        name: np.full(feature.shape, b"", object)
        if feature.dtype == "string"
        else np.zeros(feature.shape, feature.dtype)
        for name, feature in stored.items()
    }
    return {"examples": [serialize(example, spec)]}


def _write_warmup(
    assets: pathlib.Path,
    signatures: Mapping[str, Any],
    requests: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes the warm-up requests as JSON and for TF Serving, and digests of their answers."""
    answers: dict[str, list[Any]] = {name: [] for name in requests}
    with tf.io.TFRecordWriter(str(assets / WARMUP_LOG)) as log:
        for name, of_signature in requests.items():
            specs = tf.nest.flatten(signatures[name].structured_input_signature)
            for request in of_signature:
                tensors = {spec.name: tf.constant(request[spec.name], spec.dtype) for spec in specs}
                outputs = signatures[name](*tensors.values())
                answers[name].append({key: digest(value) for key, value in outputs.items()})
                record = prediction_log_pb2.PredictionLog()
                predict = record.predict_log.request
                predict.model_spec.signature_name = name
                for key, tensor in tensors.items():
                    predict.inputs[key].CopyFrom(tf.make_tensor_proto(tensor))
                log.write(record.SerializeToString())
    readable = {
        name: [
            {key: [_readable(value) for value in values] for key, values in request.items()}
            for request in of_signature
        ]
        for name, of_signature in requests.items()
    }
    _write_json(assets / WARMUP, readable)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    _write_json(assets / ANSWERS, {"device": "GPU" if on_gpu else "CPU", "answers": answers})


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value


def _write_json(path: pathlib.Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
