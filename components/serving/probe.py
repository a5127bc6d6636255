"""Asks an exported model what TF Serving would, in a process that knows only what it knows.

A script, not a module of the package: `python -I serving_probe.py <SavedModel>` imports tensorflow
and tensorflow_text and nothing else of ours, prints one line of JSON (`problems`, `signatures`)
and exits 0. See docs/decisions/0006-serving-ops.md for what counts as an op of TF Serving.
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
"""Folder of a SavedModel that TensorFlow leaves alone and TF Serving looks into."""
WARMUP = "warmup.json"
"""Requests by signature; bytes as `{"b64": …}`, as in TF Serving's REST interface."""
ANSWERS = "warmup_answers.json"
"""Digests of the answers that the model gave where it was exported, and on which device."""

NOT_SERVED = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "TRTEngineOp", "TRTEngineOpV2"})
"""Ops that Python's tensorflow registers and TF Serving's binary cannot run."""
_STRANGERS = ("keras_hub", "models", "components", "pipeline", "tfx")
_TOLERANCE = {"CPU": 1e-3, "GPU": 5e-2}
"""Largest difference of a digest's figures, in units of the root mean square; a GPU rounds more."""


def digest(value: Any) -> dict[str, Any]:
    """What is kept of an answer: enough to notice another tokenizer, other weights, other order.

    Floats give `mean`, `rms` and `ramp` (the mean weighted by position, from 0 to 1), all else a
    hash of its values.
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


def difference(found: Mapping[str, Any], expected: Mapping[str, Any], device: str) -> str | None:
    """How an answer differs from the one at export, in words; None if it is the same."""
    if found["shape"] != expected["shape"]:
        return f"has shape {found['shape']}, at export {expected['shape']}"
    if "sha256" in expected:  # ids and words: a GPU's rounding may swap two that are as likely
        same = found["sha256"] == expected["sha256"] or device != "CPU"
        return None if same else "has other values than at export"
    allowed = _TOLERANCE[device] * expected["rms"] + 1e-6
    for figure in ("mean", "rms", "ramp"):
        if not abs(found[figure] - expected[figure]) <= allowed:
            return f"has {figure} {found[figure]:.6g}, at export {expected[figure]:.6g}"
    return None


def unserved_ops(folder: pathlib.Path) -> dict[str, list[str]]:
    """Ops that TF Serving lacks, by the signature that reaches them (`""`: reached by none)."""
    from tensorflow.core.protobuf import saved_model_pb2

    # A private interface. It can't be in models/private_api.py: this program runs without our code.
    from tensorflow.python.framework import op_def_registry

    graph = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = graph.meta_graphs[0]
    bodies = {f.signature.name: f.node_def for f in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}

    def known(op: str) -> bool:
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

    found: dict[str, list[str]] = {}
    for name, signature in sorted(graph.signature_def.items()):
        if name == "__saved_model_init_op":
            continue
        starts = [nodes[out.name.split(":")[0]] for out in signature.outputs.values()]
        ops = sorted({node.op for node in reached(starts) if not known(node.op)})
        if ops:
            found[name] = ops
    everything = [*graph.graph_def.node, *(node for body in bodies.values() for node in body)]
    named = {op for ops in found.values() for op in ops}
    rest = sorted({node.op for node in everything if not known(node.op)} - named)
    return {**found, "": rest} if rest else found


def _called(node: Any) -> Iterator[str]:
    """Functions that a node calls: its op may be one, its attributes may name some."""
    yield node.op
    for attribute in node.attr.values():
        if attribute.WhichOneof("value") == "func":
            yield attribute.func.name
        for function in attribute.list.func:
            yield function.name


def probe(folder: pathlib.Path) -> dict[str, Any]:
    """Everything that is wrong with the model in `folder`, and seconds by signature."""
    import tensorflow_text  # noqa: F401  registers its ops, as TF Serving's binary does

    problems = [
        {"signature": name, "problem": f"needs op {op}, which TF Serving does not have"}
        for name, ops in unserved_ops(folder).items()
        for op in ops
    ]
    seconds: dict[str, float] = {}
    if not problems:  # an unknown op would end the process at loading
        for name, problem in _answer(folder, seconds):
            problems.append({"signature": name, "problem": problem})
    strangers = sorted({module.partition(".")[0] for module in sys.modules} & set(_STRANGERS))
    if strangers:
        problems.append({"signature": "", "problem": f"imports {', '.join(strangers)}"})
    return {"problems": problems, "seconds": seconds}


def _answer(folder: pathlib.Path, seconds: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Sends the model its own requests; yields (signature, what is wrong)."""
    loaded = tf.saved_model.load(str(folder))
    requests = json.loads((folder / ASSETS / WARMUP).read_text(encoding="utf-8"))
    at_export = json.loads((folder / ASSETS / ANSWERS).read_text(encoding="utf-8"))
    for missing in sorted({"serving_default", *requests} - set(loaded.signatures)):
        yield missing, "is not among the model's signatures"
    for name in sorted(set(requests) & set(loaded.signatures)):
        signature = loaded.signatures[name]
        specs = signature.structured_input_signature[1]
        for request, answers in zip(requests[name], at_export["answers"][name], strict=True):
            if request.keys() != specs.keys():
                yield name, f"takes {', '.join(specs)}; its warmup request has {', '.join(request)}"
                continue
            inputs = {
                key: tf.constant([_plain(value) for value in values], specs[key].dtype)
                for key, values in request.items()
            }
            batch = {int(tensor.shape[0]) for tensor in inputs.values()}
            started = time.monotonic()
            try:
                outputs = signature(**inputs)
            except (tf.errors.OpError, TypeError, ValueError) as error:
                yield name, f"fails on its warmup request: {str(error).splitlines()[0]}"
                continue
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
            for key in sorted(answers.keys() - outputs.keys()):
                yield name, f"output {key} was there at export and is not now"
            for key, tensor in sorted(outputs.items()):
                value = tensor.numpy()
                if not value.shape or value.shape[0] not in batch:
                    yield name, f"output {key} has shape {list(value.shape)} for a batch of {batch}"
                elif value.dtype.kind == "f" and not np.isfinite(value).all():
                    bad = value[~np.isfinite(value)][0]
                    yield name, f"output {key} has the value {bad}"
                elif key not in answers:
                    yield name, f"output {key} was not there at export"
                elif differs := difference(digest(value), answers[key], at_export["device"]):
                    yield name, f"output {key} {differs}"


def _plain(value: Any) -> Any:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(pathlib.Path(sys.argv[1]))) + "\n")
