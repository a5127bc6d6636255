"""Tests of ELMo's signatures in a SavedModel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.elmo.backbone import build_backbone
from models.elmo.objective import ElmoObjective
from models.elmo.pretraining import ElmoPretraining
from models.elmo.serving import make_signatures, warmup_requests
from models.tokenizers.character import SENTENCE_END, SENTENCE_START
from tests.testdata.little_elmo import CONFIG, tokenizer

WORDS = tokenizer()


@pytest.fixture(scope="module")
def model() -> ElmoPretraining:
    keras.utils.set_random_seed(0)
    backbone = build_backbone(CONFIG.backbone, WORDS)
    return ElmoObjective(CONFIG.objective, WORDS).build_model(backbone)


@pytest.fixture(scope="module")
def signatures(model):
    return make_signatures(model, WORDS)


def test_vectors_are_the_encoders_between_the_sentences_markers(model, signatures) -> None:
    texts = ["The river rose.", "", "Unheard-of wörds 河岸"]
    layers = tf.tile([[0, 1, 2]], [3, 1])
    found = {
        name: value.numpy()
        for given in (
            signatures["hidden_states"](tf.constant(texts), layers),
            signatures["serving_default"](tf.constant(texts)),
        )
        for name, value in given.items()
    }
    rows = WORDS.tokenize(tf.constant(texts))
    for place, text in enumerate(texts):
        words = rows[place].numpy().reshape(-1, 50)
        framed = np.concatenate([SENTENCE_START[None], words, SENTENCE_END[None]])
        time = len(framed)
        expected = model.backbone(
            {
                "character_ids": framed[None].astype(np.int32),
                "padding_mask": np.ones((1, time), np.int32),
            }
        )["hidden_states"][0].numpy()
        np.testing.assert_allclose(found["hidden_states"][place, :, :time], expected, atol=1e-5)
        half = expected.shape[-1] // 2
        pooled = np.concatenate([expected[-1, -1, :half], expected[-1, 0, half:]])
        np.testing.assert_allclose(found["pooled"][place], pooled, atol=1e-5)
        assert found["padding_mask"][place].sum() == time
        tokens = [token.decode() for token in found["tokens"][place, :time]]
        assert (tokens[0], tokens[-1]) == ("<S>", "</S>")
        spans = zip(found["starts"][place], found["limits"][place], strict=True)
        cut = [text.encode()[a:b].decode() for a, b in spans][1 : time - 1]
        assert cut == tokens[1:-1]
    assert found["tokens"][0, :6].tolist() == [b"<S>", b"The", b"river", b"rose", b".", b"</S>"]


def test_an_empty_batch_has_an_empty_answer(signatures) -> None:
    for name, value in signatures["serving_default"](tf.zeros([0], tf.string)).items():
        assert value.shape[0] == 0, name


def test_there_is_a_request_to_warm_up_every_signature(model) -> None:
    assert warmup_requests().keys() == make_signatures(model, WORDS).keys()
