"""End-of-text before each text; training windows have the features that `frame` gives."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

from models.gpt.config import GptObjectiveConfig
from models.gpt.examples import make_examples
from models.gpt.inputs import after_end_of_text, frame, row_features
from models.objective import TokenizedDocument

SPECIAL = {"end_of_text": 8}


def ragged(*rows: list[int]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1)


def lists(features: dict) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in features.items()}


def test_single_texts() -> None:
    framed = frame(ragged([1, 2], []), special_ids=SPECIAL)
    assert lists(framed.features) == {
        "token_ids": [[8, 1, 2], [8, 8, 8]],
        "padding_mask": [[1, 1, 1], [1, 0, 0]],
        "position_ids": [[0, 1, 2], [0, 0, 0]],
    }


def test_pairs() -> None:
    framed = frame(ragged([1, 2, 3]), ragged([4]), special_ids=SPECIAL, max_length=5)
    assert framed.ids.numpy().tolist() == [[8, 1, 2, 8, 4]]
    assert framed.segments.numpy().tolist() == [[0, 0, 0, 1, 1]]
    assert framed.features["position_ids"].numpy().tolist() == [[0, 1, 2, 3, 4]]


def test_row_features_equal_those_of_frame() -> None:
    ids = ragged([1, 2], [3, 4, 5])
    rows = after_end_of_text(ids, SPECIAL)
    assert rows.to_list() == [[8, 1, 2], [8, 3, 4, 5]]
    framed = frame(ids, special_ids=SPECIAL).features
    assert lists(row_features(rows, SPECIAL)) == lists(framed)


@pytest.mark.parametrize("separate", [False, True])
def test_a_training_window_of_one_document_has_the_features_of_frame(separate: bool) -> None:
    config = GptObjectiveConfig(sequence_length=9, separate_documents=separate)
    document = TokenizedDocument.of("a", "paper", "en", [np.array([1, 2, 3], np.int32)])
    (window,) = make_examples(
        [document], config, 8, [b"a"] * 9, np.random.default_rng(0), collections.Counter()
    )
    framed = frame(ragged([1, 2, 3]), special_ids=SPECIAL, time=9).features
    real = window["padding_mask"]
    assert real.tolist() == framed["padding_mask"].numpy().tolist()
    for name in ("token_ids", "position_ids"):
        assert (window[name] * real).tolist() == (framed[name].numpy() * real).tolist()
