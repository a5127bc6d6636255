"""Sends an exported model its warm-up requests, in a process without modules of this project.

A program: `python -I components/serving/probe.py SAVED_MODEL` imports tensorflow and
tensorflow_text, whose ops TF Serving has, prints one line of JSON (`problems`, `seconds`) and exits
with 0. docs/decisions/0006-serving-ops.md says what counts as an op of TF Serving.
"""

import base64
import hashlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

ASSETS = "assets.extra"
"""Folder of a SavedModel that TensorFlow ignores and TF Serving reads."""
WARMUP = "warmup.json"
"""Requests by signature; bytes as `{"b64": …}`, as in TF Serving's REST API."""
ANSWERS = "warmup_answers.json"
"""Digests of the answers that the model gave when it was exported, and the device."""

NOT_SERVED = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "TRTEngineOp", "TRTEngineOpV2"})
"""Ops that the Python package tensorflow registers and TF Serving's binary cannot run."""
_NOT_IMPORTED = ("keras_hub", "models", "components", "pipeline", "tfx")
_TOLERANCE = {"CPU": 1e-3, "GPU": 5e-2}
"""Largest difference of a digest's numbers, relative to the root mean square; GPUs round more."""


def digest(value: Any) -> dict[str, Any]:
    """A digest of an answer, which changes with the tokenizer, the weights and the order.

    For floats it has `mean`, `rms` and `ramp` (the mean weighted by position, from 0 to 1), for
    other values a hash.
    """
    array = np.asarray(value)
    if array.dtype.kind == "f":
        flat = array.astype(np.float64).ravel()
        ramp = np.linspace(0.0, 1.0, flat.size)
        return {
            "shape": list(array.shape),
            "mean": float(flat.mean()) if flat.size else 0.0,
            "rms": float(np.sqrt(np.square(flat).mean())) if flat.size else 0.0,
            "ramp": float((flat * ramp).mean()) if flat.size else 0.0,
        }
    content = json.dumps([v.hex() if isinstance(v, bytes) else int(v) for v in array.ravel()])
    return {"shape": list(array.shape), "sha256": hashlib.sha256(content.encode()).hexdigest()}


def difference(actual: Mapping[str, Any], expected: Mapping[str, Any], device: str) -> str | None:
    """How an answer differs from the answer at export, in words; None if it does not."""
    if actual["shape"] != expected["shape"]:
        return f"has shape {actual['shape']}, at export {expected['shape']}"
    if "sha256" in expected:  # ids and words: on a GPU, rounding may swap two likely ones
        same = actual["sha256"] == expected["sha256"] or device != "CPU"
        return None if same else "has other values than at export"
    allowed = _TOLERANCE[device] * expected["rms"] + 1e-6
    for name in ("mean", "rms", "ramp"):
        if not abs(actual[name] - expected[name]) <= allowed:
            return f"has {name} {actual[name]:.6g}, at export {expected[name]:.6g}"
    return None


def unserved_ops(folder: pathlib.Path) -> dict[str, list[str]]:
    """Ops that TF Serving lacks, by the signature that uses them; `""` for ops that none uses."""
    from tensorflow.core.protobuf import saved_model_pb2

    # A private API. It can't be in models/private_api.py, which this program must not import.
    from tensorflow.python.framework import op_def_registry

    graph = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = graph.meta_graphs[0]
    bodies = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}

    def is_served(op: str) -> bool:
        return op in bodies or (op not in NOT_SERVED and op_def_registry.get(op) is not None)

    def reached(starts: list[Any]) -> Iterator[Any]:
        seen: set[str] = set()
        queue = list(starts)
        while queue:
            node = queue.pop()
            yield node
            for name in _called(node):
                if name in bodies and name not in seen:
                    seen.add(name)
                    queue.extend(bodies[name])

    lacking: dict[str, list[str]] = {}
    for name, signature in sorted(graph.signature_def.items()):
        if name == "__saved_model_init_op":
            continue
        starts = [nodes[out.name.split(":")[0]] for out in signature.outputs.values()]
        ops = sorted({node.op for node in reached(starts) if not is_served(node.op)})
        if ops:
            lacking[name] = ops
    everything = [*graph.graph_def.node, *(node for body in bodies.values() for node in body)]
    named = {op for ops in lacking.values() for op in ops}
    rest = sorted({node.op for node in everything if not is_served(node.op)} - named)
    return {**lacking, "": rest} if rest else lacking


def _called(node: Any) -> Iterator[str]:
    """Functions that a node calls, by its op or its attributes."""
    yield node.op
    for attribute in node.attr.values():
        if attribute.WhichOneof("value") == "func":
            yield attribute.func.name
        for function in attribute.list.func:
            yield function.name


def probe(folder: pathlib.Path) -> dict[str, Any]:
    """The problems of a SavedModel, and the seconds that each signature took."""
    import tensorflow_text  # noqa: F401  registers its ops, which TF Serving has

    problems = [
        {"signature": name, "problem": f"needs op {op}, which TF Serving does not have"}
        for name, ops in unserved_ops(folder).items()
        for op in ops
    ]
    seconds: dict[str, float] = {}
    if not problems:  # loading an unknown op would end the process
        for name, problem in _check_answers(folder, seconds):
            problems.append({"signature": name, "problem": problem})
    imported = sorted({module.partition(".")[0] for module in sys.modules} & set(_NOT_IMPORTED))
    if imported:
        problems.append({"signature": "", "problem": f"imports {', '.join(imported)}"})
    return {"problems": problems, "seconds": seconds}


def _check_answers(folder: pathlib.Path, seconds: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Sends the model its warm-up requests; yields (signature, problem).

    Args:
        seconds: receives the seconds that each signature took.
    """
    loaded = tf.saved_model.load(str(folder))
    requests = json.loads((folder / ASSETS / WARMUP).read_text(encoding="utf-8"))
    at_export = json.loads((folder / ASSETS / ANSWERS).read_text(encoding="utf-8"))
    for missing in sorted({"serving_default", *requests} - set(loaded.signatures)):
        yield missing, "is not among the model's signatures"
    for name in sorted(set(requests) & set(loaded.signatures)):
        signature = loaded.signatures[name]
        specs = signature.structured_input_signature[1]
        for request, digests in zip(requests[name], at_export["answers"][name], strict=True):
            if request.keys() != specs.keys():
                yield (
                    name,
                    f"takes {', '.join(specs)}; the warm-up request has {', '.join(request)}",
                )
                continue
            inputs = {
                key: tf.constant([_plain(value) for value in values], specs[key].dtype)
                for key, values in request.items()
            }
            started = time.monotonic()
            try:
                outputs = signature(**inputs)
            except (tf.errors.OpError, TypeError, ValueError) as error:
                yield name, f"fails on its warm-up request: {str(error).splitlines()[0]}"
                continue
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
            batch = {int(tensor.shape[0]) for tensor in inputs.values()}
            arrays = {key: tensor.numpy() for key, tensor in outputs.items()}
            for problem in _output_problems(arrays, digests, batch, at_export["device"]):
                yield name, f"output {problem}"


def _output_problems(
    outputs: Mapping[str, np.ndarray],
    digests: Mapping[str, Mapping[str, Any]],
    batch: set[int],
    device: str,
) -> Iterator[str]:
    """What is wrong with the outputs of a signature.

    Args:
        outputs: the outputs by name.
        digests: digests of the outputs at export, by name.
        batch: sizes of the first dimension of the inputs.
        device: the device at export.
    """
    for key in sorted(digests.keys() - outputs.keys()):
        yield f"{key} was there at export and is missing now"
    for key, value in sorted(outputs.items()):
        if not value.shape or value.shape[0] not in batch:
            yield f"{key} has shape {list(value.shape)} for a batch of {batch}"
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            yield f"{key} has the value {value[~np.isfinite(value)][0]}"
        elif key not in digests:
            yield f"{key} was not there at export"
        elif differs := difference(digest(value), digests[key], device):
            yield f"{key} {differs}"


def _plain(value: Any) -> Any:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(pathlib.Path(sys.argv[1]))) + "\n")
