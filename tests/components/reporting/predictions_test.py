"""Example predictions: which signatures are called with which prompts, and their answers."""

import numpy as np

from components.reporting.predictions import Prediction, example_predictions
from components.reporting.prompts import Prompt, Prompts

PROMPTS = Prompts(
    masked=[
        Prompt(("a [MASK]",), "dog"),
        Prompt(("far off [MASK]",), "y"),
        Prompt(("[MASK] x",), "z"),
    ],
    pairs=[Prompt(("one", "two"), "follows"), Prompt(("three", "four"), "from another document")],
    beginnings=[Prompt(("a b",), " c"), Prompt(("c",), " d")],
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
    assert example_predictions(PROMPTS, _fill_mask, _next_sentence) == [
        Prediction("fill_mask", ("a [MASK]",), (("dog", 0.5), ("cat", 0.25)), "dog"),
        Prediction("fill_mask", ("[MASK] x",), (("x", 0.75), ("\ufffd", 0.125)), "z"),
        Prediction("next_sentence", ("one", "two"), (("follows", 0.75),), "follows"),
        Prediction(
            "next_sentence", ("three", "four"), (("follows", 0.25),), "from another document"
        ),
    ]


def test_a_model_that_reads_no_mask_gives_no_predictions():
    def fill_mask(texts):
        nothing = np.zeros((len(texts), 0, 5))
        return {"words": nothing.astype(object), "probabilities": nothing}

    assert example_predictions(PROMPTS, fill_mask) == []


def test_continuations_follow_their_prompts():
    def generate(prompt, **settings):
        assert {len(values) for values in settings.values()} == {2}
        return {"text": np.array([f" {len(text)}".encode() for text in prompt], object)}

    found = example_predictions(PROMPTS, generate=generate)
    assert [(p.signature, p.texts, p.answers[0][0], p.expected) for p in found] == [
        ("generate", ("a b",), "a b 3", " c"),
        ("generate", ("c",), "c 1", " d"),
    ]
    assert all(np.isnan(p.answers[0][1]) for p in found)


def test_nothing_is_predicted_without_signatures_or_prompts():
    def fail(**_):
        raise AssertionError

    assert example_predictions(PROMPTS) == []
    assert example_predictions(Prompts(), fail, fail, fail) == []
