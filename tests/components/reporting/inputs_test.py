"""Readers of the files that a report shows, and the example predictions."""

import json
import math

import numpy as np
import pytest

from components.reporting import inputs as report_inputs
from components.reporting.inputs import Prediction, TrainingPoint
from components.reporting.prompts import Asked, Prompts
from models.errors import ConfigError


def _log(tmp_path, text):
    path = tmp_path / "training.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_training_log(tmp_path):
    record = {
        "step": 20,
        "loss": 7.5,
        "masked_lm_nll_sum": 6.8,
        "next_sentence_nll_sum": 0.7,
        "learning_rate": 1e-4,
        "tokens_per_second": 9000.0,
        "gradient_norm": 2.0,
        "padding_share": 0.1,
        "seconds": 3.5,
    }
    assert report_inputs.read_training_log(_log(tmp_path, json.dumps(record) + "\n")) == [
        TrainingPoint(
            20,
            7.5,
            {"masked_lm_nll_sum": 6.8, "next_sentence_nll_sum": 0.7},
            learning_rate=1e-4,
            tokens_per_second=9000.0,
            gradient_norm=2.0,
            padding_share=0.1,
            seconds=3.5,
        )
    ]


def test_training_log_of_a_resumed_run_keeps_the_later_record(tmp_path):
    lines = ['{"step": 20, "loss": 3}', '{"step": 40, "loss": 2}', '{"step": 20, "loss": 2.5}', ""]
    points = report_inputs.read_training_log(_log(tmp_path, "\n".join(lines)))
    assert [(point.step, point.loss) for point in points] == [(20, 2.5), (40, 2)]


def test_training_log_that_is_being_written_lacks_its_last_line(tmp_path):
    path = _log(tmp_path, '{"step": 20, "loss": 3}\n{"step": 40, "lo')
    assert [point.step for point in report_inputs.read_training_log(path)] == [20]


@pytest.mark.parametrize("bad", ["{", "[1]", '{"step": 5}', "null"])
def test_training_log_names_the_line_that_is_none(tmp_path, bad):
    path = _log(tmp_path, f'{{"step": 20, "loss": 3}}\n{bad}\n')
    with pytest.raises(ConfigError) as raised:
        report_inputs.read_training_log(path)
    assert raised.value.where == f"{path}:2"


def test_training_log_with_a_loss_that_is_not_finite(tmp_path):
    (point,) = report_inputs.read_training_log(_log(tmp_path, '{"step": 1, "loss": NaN}\n'))
    assert math.isnan(point.loss)


def test_quarantined_most_frequent_first(tmp_path):
    path = tmp_path / "ingestion.json"
    counts = {"no text": 2, "a": 1, "not UTF-8": 7, "b": 1}
    path.write_text(json.dumps({"documents": 3, "quarantined_by_reason": counts}))
    assert list(report_inputs.read_quarantined(path).items()) == [
        ("not UTF-8", 7),
        ("no text", 2),
        ("a", 1),
        ("b", 1),
    ]


PROMPTS = Prompts(
    masked=[
        Asked(("a [MASK]",), "dog"),
        Asked(("far off [MASK]",), "y"),
        Asked(("[MASK] x",), "z"),
    ],
    pairs=[Asked(("one", "two"), "follows"), Asked(("three", "four"), "of another document")],
    beginnings=[Asked(("a b",), " c"), Asked(("c",), " d")],
)


def _fill_mask(texts):
    assert texts == ["a [MASK]", "far off [MASK]", "[MASK] x"]
    return {
        "words": np.array([[[b"dog", b"cat"]], [[b"", b""]], [[b"x", b"\xe6"]]], object),
        "probabilities": np.array([[[0.5, 0.25]], [[0, 0]], [[0.75, 0.125]]], "float32"),
    }


def _next_sentence(first, second):
    assert (first, second) == (["one", "three"], ["two", "four"])
    return {"probability": np.array([0.75, 0.25], dtype=np.float32)}


def test_example_predictions():
    assert report_inputs.example_predictions(PROMPTS, _fill_mask, _next_sentence) == [
        Prediction("fill_mask", ("a [MASK]",), (("dog", 0.5), ("cat", 0.25)), "dog"),
        Prediction("fill_mask", ("[MASK] x",), (("x", 0.75), ("\ufffd", 0.125)), "z"),
        Prediction("next_sentence", ("one", "two"), (("follows", 0.75),), "follows"),
        Prediction("next_sentence", ("three", "four"), (("follows", 0.25),), "of another document"),
    ]


def test_a_model_that_reads_no_mask_of_any_text_answers_nothing():
    def fill_mask(texts):
        nothing = np.zeros((len(texts), 0, 5))
        return {"words": nothing.astype(object), "probabilities": nothing}

    assert report_inputs.example_predictions(PROMPTS, fill_mask) == []


def test_continuations_stand_behind_their_prompts():
    def generate(prompt, **settings):
        assert {len(values) for values in settings.values()} == {2}
        return {"text": np.array([f" {len(text)}".encode() for text in prompt], object)}

    found = report_inputs.example_predictions(PROMPTS, generate=generate)
    assert [(p.signature, p.texts, p.answers[0][0], p.expected) for p in found] == [
        ("generate", ("a b",), "a b 3", " c"),
        ("generate", ("c",), "c 1", " d"),
    ]
    assert all(np.isnan(p.answers[0][1]) for p in found)


def test_without_signatures_or_without_prompts_nothing_is_asked():
    def never(**_):
        raise AssertionError

    assert report_inputs.example_predictions(PROMPTS) == []
    assert report_inputs.example_predictions(Prompts(), never, never, never) == []


def test_the_largest_slices_of_each_feature_are_shown_and_the_others_told():
    sources = {f"source=s{number:03}": number for number in range(1, 101)}
    slices = {"length=long": 2, "length=short": 3, "overall": 5050, **sources}
    shown, more = report_inputs.largest_slices(slices)
    largest = [f"source=s{number:03}" for number in range(100, 80, -1)]
    assert shown == ["overall", "length=short", "length=long", *largest]
    assert more == ["80 more values of source hold 3,240 examples together, 64.2%."]
    assert report_inputs.largest_slices({}) == ([], [])
