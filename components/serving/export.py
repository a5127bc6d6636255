"""A trained model with its tokenizer inside, as one SavedModel that takes raw strings."""

import base64
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.layout import CONFIG_FILE, MODEL_TOKENIZER_FOLDER, PROVENANCE_FILE
from components.serving.probe import ANSWERS, ASSETS, WARMUP, digest
from components.storage.publish import published_folder
from models.examples import parse, serialize
from models.objective import Objective, numeric_features
from models.tokenizers.tokenizer import Tokenizer
from models.training.held_out import evaluation_batch_size

_log = logging.getLogger("polyseme.exporter")

WARMUP_LOG = "tf_serving_warmup_requests"
"""TF Serving's own name for the requests it sends to itself when it loads a version."""
EVALUATE = "evaluate"


class _Servable(tf.Module):
    """Tracks all that the signatures use. Only what is tracked is saved.

    Warm start reads the weights back with `tf.train.Checkpoint(model=…)`: the attribute's name is
    part of the format. The baselines' tables, which `evaluate` reads, are not among them.
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
    """Writes a SavedModel that needs only tensorflow and tensorflow_text.

    Signatures: the objective's, and `evaluate` (`examples`: serialized training examples, string
    `[batch]` → the model's sums, float32 `[batch]` each). Beside them, in `assets.extra/`:
    `config.json`, `provenance.json`, `tokenizer/`, `warmup.json` (requests by signature, readable;
    bytes as `{"b64": …}` as in TF Serving's REST interface), `warmup_answers.json` (digests of what
    the model answered here, for the serving check) and `tf_serving_warmup_requests`.

    All is written to a folder beside and renamed at the end: `folder` exists whole or not at all.

    Args:
        model: what `objective.build_model` made, trained.
        folder: the SavedModel's folder; an older one there is replaced.
        config_json: the run's resolved configuration.
        provenance: where the model comes from: corpus fingerprint, spans, code version.
    """
    folder = pathlib.Path(folder)
    functions = {
        **objective.signatures(model, tokenizer),
        EVALUATE: evaluate_signature(model, objective),
    }
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    for name, signature in signatures.items():
        if not isinstance(signature.structured_outputs, Mapping):
            raise TypeError(f"signature {name} returns no dict, so its outputs would have no names")
    with published_folder(folder) as partial:
        tf.saved_model.save(_Servable(model, tokenizer), str(partial), signatures=signatures)
        assets = partial / ASSETS
        (partial / MODEL_TOKENIZER_FOLDER).mkdir(parents=True)
        tokenizer.save(partial / MODEL_TOKENIZER_FOLDER)
        _write_json(partial / PROVENANCE_FILE, provenance)
        (assets / CONFIG_FILE).write_text(config_json, encoding="utf-8")
        _write_warmup(
            assets, signatures, {**objective.warmup_requests(), EVALUATE: [_blank(objective)]}
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    _log.info("exported %.1f MB with signatures %s", size / 1e6, ", ".join(sorted(signatures)))


def evaluate_signature(model: Any, objective: Objective) -> Any:
    """`examples`, serialized, string `[batch]` → `{sum: float32 [batch]}` (law 6).

    The sums are those that the objective's losses and metrics name. Examples may be longer or
    shorter than those the model was trained on. A long batch is computed in
    parts: TFMA sends up to 1,000 examples at once, whose logits over a vocabulary would fill the
    memory.
    """
    spec = numeric_features(objective.feature_spec())
    chunk = evaluation_batch_size(objective)
    names = sorted(
        {name for metric in objective.metrics() for name in (metric.numerator, metric.denominator)}
        | {name for loss in objective.losses() for name in (loss.numerator, loss.denominator)}
    )

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
    """A request to `evaluate`: one example of zeros, so that its graph is warm too."""
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
    """The requests for people, their answers' digests for our check, and TF Serving's own file."""
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
