"""Tests of GPT's signatures in a SavedModel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.gpt.backbone import build_backbone
from models.gpt.objective import GptObjective
from models.gpt.pretraining import GptPretraining
from models.gpt.serving import make_signatures, warmup_requests
from tests.testdata.little_gpt import CONFIG, tokenizer

LENGTH = 16  # of the texts, where the decoder has 24 positions
END = 299
WORDS = tokenizer()


@pytest.fixture(scope="module")
def model() -> GptPretraining:
    """A model with large weights, so that different inputs have different outputs."""
    keras.utils.set_random_seed(0)
    made = GptObjective(CONFIG.objective, WORDS).build_model(build_backbone(CONFIG.backbone, WORDS))
    rng = np.random.default_rng(0)
    for weight in made.trainable_variables:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


@pytest.fixture(scope="module")
def signatures(model):
    return make_signatures(model, WORDS, LENGTH)


def answer(signature, texts: list[str]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in signature(tf.constant(texts)).items()}


def ids_of(text: str) -> list[int]:
    return WORDS.tokenize(tf.constant([text]))[0].numpy().tolist()


def run(model, ids: list[int]) -> dict[str, np.ndarray]:
    row = np.array([ids], np.int32)
    outputs = model.backbone(
        {
            "token_ids": row,
            "padding_mask": np.ones_like(row),
            "position_ids": np.arange(len(ids), dtype=np.int32)[None],
        }
    )
    return {name: np.asarray(value)[0] for name, value in outputs.items()}


def test_vectors_equal_those_of_the_decoder_after_end_of_text(model, signatures) -> None:
    text = "The river rose."
    found = answer(signatures["serving_default"], [text, ""])
    states = signatures["hidden_states"](tf.constant([text, ""]), [[0, 1, 2]] * 2)["hidden_states"]
    ids = ids_of(text)
    expected = run(model, [END, *ids])
    time = len(ids) + 1
    np.testing.assert_allclose(states[0], expected["hidden_states"], atol=1e-5)
    np.testing.assert_allclose(found["pooled"][0], expected["sequence_output"][-1], atol=1e-5)
    assert found["tokens"][0, 0] == b"<|endoftext|>"
    spans = zip(found["starts"][0], found["limits"][0], strict=True)
    assert [text[a:b] for a, b in spans][1:] == [
        token.decode().replace("Ġ", " ") for token in found["tokens"][0, 1:]
    ]
    assert found["padding_mask"].tolist() == [[1] * time, [1] + [0] * (time - 1)]
    np.testing.assert_allclose(
        found["pooled"][1], run(model, [END])["sequence_output"][0], atol=1e-5
    )


def test_long_texts_are_cut_at_the_end_for_their_vectors(signatures) -> None:
    found = answer(signatures["serving_default"], ["The river rose in spring. " * 5])
    assert found["tokens"].shape[1] == LENGTH


def test_scores_of_short_and_long_texts_equal_those_of_their_windows(model, signatures) -> None:
    texts = ["The river rose.", "", "Rain and wind fell at the bank of our river. " * 3, "Ünï"]
    found = answer(signatures["score"], texts)
    table = np.asarray(model.backbone.decoder.token_embedding.embeddings)
    for row, text in enumerate(texts):
        ids = ids_of(text)
        stream = [END, *ids]
        logs = []
        for begin in range(0, len(ids), LENGTH):
            window = stream[begin : begin + LENGTH][: len(ids) - begin]
            logits = run(model, window)["sequence_output"] @ table.T
            shifted = logits - logits.max(-1, keepdims=True)
            log_softmax = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
            labels = stream[begin + 1 : begin + 1 + len(window)]
            logs += log_softmax[np.arange(len(window)), labels].tolist()
        assert found["token_count"][row] == len(ids) == len(logs)
        np.testing.assert_allclose(found["log_probabilities"][row, : len(ids)], logs, atol=1e-3)
        assert not found["log_probabilities"][row, len(ids) :].any()
        np.testing.assert_allclose(found["total"][row], sum(logs), rtol=1e-4, atol=1e-4)
        expected = np.exp(-np.mean(logs)) if logs else 1.0
        np.testing.assert_allclose(found["perplexity"][row], expected, rtol=1e-3)


def test_windows_are_scored_some_at_a_time(signatures, monkeypatch, model) -> None:
    monkeypatch.setattr("models.gpt.serving._TOKENS_AT_ONCE", 2 * LENGTH)
    few = make_signatures(model, WORDS, LENGTH)["score"]
    texts = ["Our ships sailed past the bank. " * number for number in (1, 0, 7, 3)]
    expected = answer(signatures["score"], texts)
    for name, value in answer(few, texts).items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["serving_default", "score"])
def test_an_empty_batch_gives_empty_outputs(signatures, name) -> None:
    for output, value in answer(signatures[name], np.zeros(0, "S1")).items():
        assert value.shape[0] == 0, output


def test_every_signature_has_a_warmup_request(signatures) -> None:
    assert warmup_requests().keys() == signatures.keys()
