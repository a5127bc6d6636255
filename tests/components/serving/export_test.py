"""An export is atomic, contains all it needs, and evaluates to the model's own sums."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.serving import export as exporter
from models.examples import serialize
from tests.testdata.letter_objective import LetterObjective, WordTokenizer


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "Format-Serving"
    objective = LetterObjective()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "evaluation_batch_size", lambda objective: 64)
        exporter.export(
            objective.build_model(),
            objective,
            WordTokenizer(),
            folder,
            config_json='{"name": "letters"}',
            provenance={"corpus": "abc", "spans": [1]},
        )
    return folder


def test_signatures_take_raw_strings_and_name_their_outputs(exported):
    loaded = tf.saved_model.load(str(exported))
    assert set(loaded.signatures) == {"serving_default", "embed", "evaluate"}
    outputs = loaded.signatures["serving_default"](texts=tf.constant(["bank the mud"]))
    assert outputs["token_ids"].numpy().tolist() == [[3, 1, 0]]
    assert outputs["vectors"].numpy().tolist() == [[[2.0], [0.5], [0.0]]]


@pytest.mark.parametrize("batch", [0, 1, 64, 65, 200])
def test_evaluate_gives_each_examples_sums_in_parts_of_any_batch(exported, batch):
    objective = LetterObjective()
    ids = np.random.default_rng(7).integers(0, 4, (batch, 4))
    serialized = [serialize(objective.example(row), objective.feature_spec()) for row in ids]
    evaluate = tf.saved_model.load(str(exported)).signatures["evaluate"]
    sums = evaluate(examples=tf.constant(serialized, tf.string))
    assert set(sums) == {"nll_sum", "token_count", "correct_count"}
    weights = np.array([0.0, 0.5, 1.0, 2.0], np.float32)
    np.testing.assert_array_equal(sums["nll_sum"], weights[ids].sum(-1))
    np.testing.assert_array_equal(sums["token_count"], (ids > 0).sum(-1))
    np.testing.assert_array_equal(sums["correct_count"], (ids == 1).sum(-1))


def test_assets_hold_configuration_provenance_tokenizer_and_warmup(exported):
    assets = exported / "assets.extra"
    assert json.loads((assets / "config.json").read_text()) == {"name": "letters"}
    assert json.loads((assets / "provenance.json").read_text()) == {"corpus": "abc", "spans": [1]}
    assert (assets / "tokenizer/words.txt").read_text() == "\nthe\nriver\nbank"
    requests = json.loads((assets / "warmup.json").read_text())
    assert requests["embed"] == [{"texts": ["the river bank", "the bank"]}]
    assert set(requests["evaluate"][0]["examples"][0]) == {"b64"}


def test_warmup_log_is_what_tf_serving_reads(exported):
    file = exported / "assets.extra/tf_serving_warmup_requests"
    records = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        for record in tf.data.TFRecordDataset(str(file))
    ]
    assert [record.model_spec.signature_name for record in records] == ["embed", "evaluate"]
    texts = tf.make_ndarray(records[0].inputs["texts"])
    assert texts.tolist() == [b"the river bank", b"the bank"]


def test_warm_start_restores_the_weights(exported):
    model = LetterObjective().build_model(weights=(9.0, 9.0, 9.0, 9.0))
    status = tf.train.Checkpoint(model=model).read(str(exported / "variables/variables"))
    status.assert_existing_objects_matched()
    assert model.get_layer("table").get_weights()[0].ravel().tolist() == [0.0, 0.5, 1.0, 2.0]


def test_an_interrupted_export_leaves_the_old_one_complete(exported, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = sorted(path.relative_to(exported) for path in exported.rglob("*"))
    monkeypatch.setattr(WordTokenizer, "save", interrupt)
    objective = LetterObjective()
    with pytest.raises(KeyboardInterrupt):
        exporter.export(
            objective.build_model(),
            objective,
            WordTokenizer(),
            exported,
            config_json="{}",
            provenance={},
        )
    assert sorted(path.relative_to(exported) for path in exported.rglob("*")) == before


def test_a_signature_without_named_outputs_is_refused(tmp_path):
    class Nameless(LetterObjective):
        def signatures(self, model, tokenizer):
            del model, tokenizer
            spec = [tf.TensorSpec([None], tf.string, "texts")]
            return {"serving_default": tf.function(tf.strings.length, input_signature=spec)}

    objective = Nameless()
    with pytest.raises(TypeError, match="signature serving_default returns no dict"):
        exporter.export(
            objective.build_model(),
            objective,
            WordTokenizer(),
            tmp_path / "m",
            config_json="{}",
            provenance={},
        )
    assert not (tmp_path / "m").exists()
