"""ServingCheck passes a good model, and names what is wrong with a bad one."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tfx.components.infra_validator.serving_bins import parse_serving_binaries
from tfx.proto import infra_validator_pb2
from tfx.types import channel_utils, standard_artifacts

from components.serving import check, probe
from components.serving.export import export
from models.errors import ServingCheckFailed
from tests.testdata.letter_objective import LetterObjective, WordTokenizer

IMAGE = f"example.org/serving@sha256:{'0a' * 32}"


class _WithPython(LetterObjective):
    """An objective with a signature that calls Python, which TF Serving cannot do."""

    def signatures(self, model, tokenizer):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
        def shout(texts):
            words = tf.numpy_function(lambda t: np.char.upper(t.astype(str)), [texts], tf.string)
            return {"words": tf.ensure_shape(words, [None])}

        return {**super().signatures(model, tokenizer), "shout": shout}


def _export(folder: pathlib.Path, objective: LetterObjective, **model) -> pathlib.Path:
    export(
        objective.build_model(**model),
        objective,
        WordTokenizer(),
        folder,
        config_json="{}",
        provenance={},
    )
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "Format-Serving"
    return _export(folder, LetterObjective())


def test_a_good_model_is_blessed_as_the_pusher_reads_it(exported, tmp_path):
    model = standard_artifacts.Model()
    model.uri = str(exported.parent)
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path / "blessing")
    executor = check.ServingCheck.EXECUTOR_SPEC.executor_class()
    executor.Do({"model": [model]}, {"blessing": [blessing]}, {})
    assert blessing.get_int_custom_property("blessed") == 1
    assert (tmp_path / "blessing/INFRA_BLESSED").exists()
    result = json.loads((tmp_path / "blessing/serving_check.json").read_text())
    assert set(result["seconds"]) == {"embed", "evaluate"}


def test_a_model_that_answers_nan_is_refused_by_signature_and_output(tmp_path):
    folder = _export(tmp_path / "m", LetterObjective(), weights=(0.0, 1.0, float("nan"), 2.0))
    with pytest.raises(
        ServingCheckFailed, match="signature embed: output vectors has the value nan"
    ):
        check.check_serving(folder)


def test_python_in_the_graph_is_found_with_its_signature(tmp_path):
    folder = _export(tmp_path / "m", _WithPython())
    assert probe.unserved_ops(folder) == {"shout": ["PyFunc"]}


def test_an_op_that_tensorflow_does_not_know_is_found_in_a_function(exported, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(exported, folder)
    graph = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for function in graph.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "StringSplitV2":
                node.op = "UnknownSplit"
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    assert probe.unserved_ops(folder) == {
        "embed": ["UnknownSplit"],
        "serving_default": ["UnknownSplit"],
    }


def test_a_good_model_needs_no_op_that_tf_serving_lacks(exported):
    assert probe.unserved_ops(exported) == {}


def test_a_model_that_does_not_load_is_refused_with_its_place(exported, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(exported, folder)
    (folder / "variables/variables.index").unlink()
    with pytest.raises(ServingCheckFailed, match="could not load the exported model") as caught:
        check.check_serving(folder)
    assert caught.value.where == str(folder)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (np.array([[1.0, 2.0]], np.float32), "has shape [1, 2], at export [2, 1]"),
        (np.array([[1.0], [2.1]], np.float32), "has mean 1.55, at export 1.5"),
        (np.array([[2.0], [1.0]], np.float32), "has ramp 0.5, at export 1"),
        (np.array([[1.0], [2.00001]], np.float32), None),
    ],
)
def test_difference_of_floats(other, words):
    expected = probe.digest(np.array([[1.0], [2.0]], np.float32))
    assert probe.difference(probe.digest(other), expected, "CPU") == words


def test_difference_of_words_is_exact_if_the_export_was_on_a_cpu():
    expected = probe.digest(np.array([b"river", b"bank"], object))
    other = probe.digest(np.array([b"river", b"bunk"], object))
    assert probe.difference(expected, expected, "CPU") is None
    assert probe.difference(other, expected, "CPU") == "has other values than at export"
    assert probe.difference(other, expected, "GPU") is None


@pytest.mark.parametrize(
    ("image", "nodes"),
    [("", ["ServingCheck"]), (IMAGE, ["ServingCheck", "InfraValidator"])],
)
def test_the_gate_adds_infra_validator_if_there_is_an_image(image, nodes):
    model = channel_utils.as_channel([standard_artifacts.Model()])
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    gate, blessing = check.serving_gate(model, examples, image=image)
    assert [node.id for node in gate] == nodes
    assert blessing.type is standard_artifacts.InfraBlessing
    assert all(earlier in gate[-1].upstream_nodes for earlier in gate[:-1])
    for validator in gate[1:]:
        spec = infra_validator_pb2.ServingSpec()
        json_format.Parse(validator.exec_properties["serving_spec"], spec)
        assert [binary.image for binary in parse_serving_binaries(spec)] == [IMAGE]
