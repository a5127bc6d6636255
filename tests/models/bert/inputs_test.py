"""[CLS] A [SEP] B [SEP]: the features, segments and positions of texts and pairs."""

from __future__ import annotations

import tensorflow as tf

from models.bert.inputs import frame

SPECIAL = {"padding": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}


def ragged(*rows: list[int]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1)


def lists(features: dict) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in features.items()}


def test_single_texts() -> None:
    framed = frame(ragged([10, 11], []), special_ids=SPECIAL)
    assert lists(framed.features) == {
        "token_ids": [[2, 10, 11, 3], [2, 3, 0, 0]],
        "segment_ids": [[0] * 4] * 2,
        "padding_mask": [[1] * 4, [1, 1, 0, 0]],
    }
    assert framed.token_index.numpy().tolist() == [[-1, 0, 1, -1], [-1] * 4]


def test_pairs() -> None:
    framed = frame(ragged([10, 11], [10]), ragged([20], []), special_ids=SPECIAL, time=7)
    assert lists(framed.features) == {
        "token_ids": [[2, 10, 11, 3, 20, 3, 0], [2, 10, 3, 3, 0, 0, 0]],
        "segment_ids": [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0]],
        "padding_mask": [[1] * 6 + [0], [1] * 4 + [0] * 3],
    }


def test_special_tokens_are_kept_when_texts_are_cut() -> None:
    long = ragged([10, 11, 12, 13, 14])
    single = frame(long, special_ids=SPECIAL, max_length=4)
    assert single.ids.numpy().tolist() == [[2, 10, 11, 3]]
    pair = frame(long, ragged([20, 21]), special_ids=SPECIAL, max_length=7)
    assert pair.ids.numpy().tolist() == [[2, 10, 11, 3, 20, 21, 3]]
