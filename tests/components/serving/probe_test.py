"""The probe: digests of answers, differences between them, and each problem it reports."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.serving import probe as serving_probe
from components.serving.probe import difference, digest, probe, unserved_ops

TEXTS = tf.TensorSpec([None], tf.string, "texts")
Signature = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def save(
    folder: pathlib.Path,
    signatures: dict[str, Signature],
    answers: dict[str, Any] | None = None,
    requests: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a SavedModel of functions of `texts`, with the files that an export adds.

    Args:
        answers: the outputs at export, by signature and output.
        requests: one request for each signature; by default two texts.
    """
    functions = {name: tf.function(f, input_signature=[TEXTS]) for name, f in signatures.items()}
    module = tf.Module()
    module.functions = functions
    tf.saved_model.save(module, str(folder), signatures=functions)
    assets = folder / "assets.extra"
    assets.mkdir()
    requests = requests or {name: {"texts": ["river", "bank"]} for name in signatures}
    warmup = {name: [request] for name, request in requests.items()}
    (assets / "warmup.json").write_text(json.dumps(warmup))
    at_export = {
        name: [{output: digest(value) for output, value in (answers or {}).get(name, {}).items()}]
        for name in requests
    }
    content = {"device": "CPU", "answers": at_export}
    (assets / "warmup_answers.json").write_text(json.dumps(content))
    return folder


def length(texts: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"length": tf.cast(tf.strings.length(texts), tf.float32)}


LENGTH = {"length": np.array([5, 4], np.float32)}
"""The answer of `length` to the default request."""


@pytest.fixture
def _any_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows the modules that this test process has imported and a fresh process has not."""
    monkeypatch.setattr(serving_probe, "_NOT_IMPORTED", ())


def problems(folder: pathlib.Path) -> list[tuple[str, str]]:
    return [(found["signature"], found["problem"]) for found in probe(folder)["problems"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            np.array([[1, 2], [3, 6]], np.float32),  # ramp: (0 + 2/3 + 2 + 6) / 4
            {"shape": [2, 2], "mean": 3.0, "rms": 12.5**0.5, "ramp": 26 / 12},
        ),
        (np.array([-3.0, 3.0]), {"shape": [2], "mean": 0.0, "rms": 3.0, "ramp": 1.5}),
        (np.array([7], np.float16), {"shape": [1], "mean": 7.0, "rms": 7.0, "ramp": 0.0}),
        (np.zeros((0, 5)), {"shape": [0, 5], "mean": 0.0, "rms": 0.0, "ramp": 0.0}),
    ],
)
def test_floats_are_digested_to_three_numbers(value: np.ndarray, expected: dict[str, Any]) -> None:
    found = digest(value)
    assert found.pop("shape") == expected.pop("shape")
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "shape", "hashed"),
    [
        (np.array([b"river", b"bank"], object), [2], '["7269766572", "62616e6b"]'),
        (tf.constant([["river"], ["bank"]]), [2, 1], '["7269766572", "62616e6b"]'),
        (np.array([b"\xff"], object), [1], '["ff"]'),
        (np.array([[1, -2, 300]], np.int64), [1, 3], "[1, -2, 300]"),
        (np.array([True, False]), [2], "[1, 0]"),
        (np.zeros((0, 3), np.int32), [0, 3], "[]"),
    ],
)
def test_other_types_are_digested_to_a_hash(value: Any, shape: list[int], hashed: str) -> None:
    sha256 = hashlib.sha256(hashed.encode()).hexdigest()
    assert digest(value) == {"shape": shape, "sha256": sha256}


def test_the_hash_is_sha256() -> None:
    assert digest(np.array([1, 0, 1]))["sha256"] == (
        "89cd101d2cf55a2761e438a85669324a841c0e3ee224041f487dc3025e6bd929"
    )


FLOATS = {"shape": [2], "mean": 1.0, "rms": 2.0, "ramp": 0.5}


@pytest.mark.parametrize(
    ("change", "device", "words"),
    [
        ({}, "CPU", None),
        ({"rms": 2.0019}, "CPU", None),
        ({"rms": 2.003}, "CPU", "has rms 2.003, at export 2"),
        ({"mean": 0.997}, "CPU", "has mean 0.997, at export 1"),
        ({"ramp": 0.51}, "CPU", "has ramp 0.51, at export 0.5"),
        ({"mean": 1.09, "ramp": 0.41}, "GPU", None),
        ({"mean": 1.11}, "GPU", "has mean 1.11, at export 1"),
        ({"mean": float("nan")}, "GPU", "has mean nan, at export 1"),
        ({"shape": [2, 1]}, "GPU", "has shape [2, 1], at export [2]"),
    ],
)
def test_floats_may_differ_by_a_share_of_their_size(
    change: dict[str, Any], device: str, words: str | None
) -> None:
    assert difference(FLOATS | change, FLOATS, device) == words


def test_zeros_at_export_must_stay_zeros_up_to_rounding() -> None:
    zeros = digest(np.zeros(3))
    assert difference(digest(np.full(3, 1e-7)), zeros, "CPU") is None
    assert difference(digest(np.full(3, 1e-5)), zeros, "CPU") == "has mean 1e-05, at export 0"


def test_another_number_of_words_differs_on_every_device() -> None:
    expected = digest(np.array([b"river", b"bank"], object))
    found = digest(np.array([b"river"], object))
    assert difference(found, expected, "GPU") == "has shape [1], at export [2]"


def shout(texts: tf.Tensor) -> dict[str, tf.Tensor]:
    words = tf.py_function(lambda t: tf.strings.upper(t), [texts], tf.string)
    return {"words": tf.ensure_shape(words, [None])}


def whisper(texts: tf.Tensor) -> dict[str, tf.Tensor]:
    def lower(text: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(lambda t: t.lower(), [text], tf.string)

    return {"words": tf.map_fn(lower, texts)}  # inside a loop's body


def test_python_is_found_in_each_signature_that_reaches_it(tmp_path: pathlib.Path) -> None:
    signatures = {"serving_default": length, "shout": shout, "whisper": whisper}
    folder = save(tmp_path / "m", signatures)
    assert unserved_ops(folder) == {"shout": ["EagerPyFunc"], "whisper": ["PyFunc"]}
    assert sorted(found for found in problems(folder) if found[0]) == [
        ("shout", "needs op EagerPyFunc, which TF Serving does not have"),
        ("whisper", "needs op PyFunc, which TF Serving does not have"),
    ]


def test_python_that_no_signature_reaches_is_found_too(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.shout = tf.function(shout, input_signature=[TEXTS])
    serve = tf.function(length, input_signature=[TEXTS])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": serve})
    assert unserved_ops(tmp_path) == {"": ["EagerPyFunc"]}


def test_an_ordinary_model_needs_no_op_that_is_not_served(tmp_path: pathlib.Path) -> None:
    assert unserved_ops(save(tmp_path / "m", {"serving_default": length})) == {}


@pytest.mark.usefixtures("_any_imports")
def test_a_model_that_answers_as_at_export_has_no_problem(tmp_path: pathlib.Path) -> None:
    result = probe(save(tmp_path / "m", {"serving_default": length}, {"serving_default": LENGTH}))
    assert result["problems"] == []
    assert result["seconds"].keys() == {"serving_default"}
    assert result["seconds"]["serving_default"] > 0


@pytest.mark.usefixtures("_any_imports")
def test_a_missing_signature_is_named(tmp_path: pathlib.Path) -> None:
    texts = {"texts": ["river", "bank"]}
    folder = save(
        tmp_path / "m", {"embed": length}, {"embed": LENGTH}, {"embed": texts, "fill_mask": texts}
    )
    assert problems(folder) == [
        ("fill_mask", "is not among the model's signatures"),
        ("serving_default", "is not among the model's signatures"),
    ]


@pytest.mark.usefixtures("_any_imports")
def test_each_problem_of_an_output_is_reported(tmp_path: pathlib.Path) -> None:
    def answer(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        sizes = tf.cast(tf.strings.length(texts), tf.float32)
        return {
            "good": sizes,
            "infinite": sizes / 0.0,
            "none": tf.math.log(4.5 - sizes),
            "moved": sizes + 1.0,
            "scalar": tf.reduce_sum(sizes),
            "three": tf.zeros([3, 2]),
            "unexpected": sizes,
            "words": tf.strings.upper(texts),
        }

    words = np.array([b"river", b"bank"], object)
    sizes = LENGTH["length"]
    at_export = {"good": sizes, "infinite": sizes, "none": sizes, "moved": sizes, "words": words}
    folder = save(tmp_path / "m", {"serving_default": answer}, {"serving_default": at_export})
    assert problems(folder) == [
        ("serving_default", f"output {problem}")
        for problem in (
            "infinite has the value inf",
            "moved has mean 5.5, at export 4.5",
            "none has the value nan",
            "scalar has shape [] for a batch of {2}",
            "three has shape [3, 2] for a batch of {2}",
            "unexpected was not there at export",
            "words has other values than at export",
        )
    ]


@pytest.mark.usefixtures("_any_imports")
def test_a_signature_that_fails_is_named_and_the_others_are_called(
    tmp_path: pathlib.Path,
) -> None:
    def number(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"number": tf.strings.to_number(texts)}

    answers = {"serving_default": {"length": LENGTH["length"] + 1}}
    folder = save(tmp_path / "m", {"number": number, "serving_default": length}, answers)
    (signature, problem), other = problems(folder)
    assert signature == "number"
    assert problem.startswith("fails on its warm-up request: ")
    assert "\n" not in problem
    assert other == ("serving_default", "output length has mean 4.5, at export 5.5")


@pytest.mark.usefixtures("_any_imports")
def test_bytes_of_a_request_come_as_base64(tmp_path: pathlib.Path) -> None:
    request = {"texts": [{"b64": base64.b64encode(b"\xff\x00\xfe").decode()}, "bank"]}
    folder = save(
        tmp_path / "m",
        {"serving_default": length},
        {"serving_default": {"length": np.array([3, 4], np.float32)}},
        {"serving_default": request},
    )
    assert problems(folder) == []


def test_imports_beyond_tensorflow_are_a_problem(tmp_path: pathlib.Path) -> None:
    folder = save(tmp_path / "m", {"serving_default": length}, {"serving_default": LENGTH})
    ((signature, problem),) = problems(folder)
    assert signature == ""
    assert problem.startswith("imports components")  # this test has imported it


def test_the_script_prints_one_line_and_imports_no_module_of_the_project(
    tmp_path: pathlib.Path,
) -> None:
    answers = {"serving_default": {"length": LENGTH["length"] + 1}}
    folder = save(tmp_path / "m", {"serving_default": length}, answers)
    command = [sys.executable, "-I", serving_probe.__file__, str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = process.stdout.splitlines()
    result = json.loads(line)
    assert result["problems"] == [
        {"signature": "serving_default", "problem": "output length has mean 4.5, at export 5.5"}
    ]
    assert result["seconds"].keys() == {"serving_default"}
