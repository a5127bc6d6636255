"""Joining texts with special tokens, cutting them, and moving values to the tokens' positions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.framing import Framed, Joined, Text, cut, join, longest_first


def ragged(*rows: list) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1)


def lists(joined: Joined) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in joined._asdict().items()}


def test_one_text_between_special_tokens() -> None:
    joined = join([Text([7, 8], ragged([1, 2], [], [3]), [9])], padding=5)
    assert lists(joined) == {
        "ids": [[7, 8, 1, 2, 9], [7, 8, 9, 5, 5], [7, 8, 3, 9, 5]],
        "padding_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]],
        "segments": [[0] * 5] * 3,
        "token_index": [[-1, -1, 0, 1, -1], [-1] * 5, [-1, -1, 0, -1, -1]],
    }


def test_the_second_text_and_its_special_tokens_are_segment_1() -> None:
    texts = [Text([7], ragged([1, 2], [1]), [8]), Text([], ragged([3], [3, 4]), [9])]
    assert lists(join(texts, padding=0, time=7)) == {
        "ids": [[7, 1, 2, 8, 3, 9, 0], [7, 1, 8, 3, 4, 9, 0]],
        "padding_mask": [[1, 1, 1, 1, 1, 1, 0]] * 2,
        "segments": [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0]],
        "token_index": [[-1, 0, 1, -1, 0, -1, -1], [-1, 0, -1, 0, 1, -1, -1]],
    }


def test_a_token_may_be_a_row_of_numbers() -> None:
    joined = join([Text([[7, 7]], ragged([[1, 2], [3, 4]], [[5, 6]]), [])], padding=[0, 0])
    assert joined.ids.numpy().tolist() == [
        [[7, 7], [1, 2], [3, 4]],
        [[7, 7], [5, 6], [0, 0]],
    ]


def test_a_batch_without_rows_and_rows_without_tokens() -> None:
    none = join([Text([7], tf.RaggedTensor.from_row_lengths(np.zeros(0, np.int32), []), [])], 0)
    assert none.ids.shape == none.token_index.shape == (0, 0)
    assert join([Text([7], ragged([], []), [])], 0).ids.numpy().tolist() == [[7], [7]]


def test_values_are_moved_to_the_positions_of_their_tokens() -> None:
    first, second = ragged([1, 2], [1]), ragged([3], [3, 4])
    joined = join([Text([7], first, [8]), Text([], second, [9])], padding=0)
    framed = Framed({}, joined.ids, joined.segments, joined.token_index)
    assert framed.place(ragged([10, 20], [30]), ragged([40], [50, 60])).numpy().tolist() == [
        [0, 10, 20, 0, 40, 0],
        [0, 30, 0, 50, 60, 0],
    ]
    tags = tf.ragged.constant([["a", "b"], ["c"]])
    none = framed.place(tags, tf.ragged.constant([[""], ["", ""]]), "-")
    assert none.numpy().tolist() == [
        [b"-", b"a", b"b", b"-", b"", b"-"],
        [b"-", b"c", b"-", b"", b"", b"-"],
    ]


def test_values_of_cut_tokens_are_left_out() -> None:
    first, _ = cut(ragged([1, 2, 3], [4]), None, 2)
    joined = join([Text([7], first, [])], padding=0)
    framed = Framed({}, joined.ids, joined.segments, joined.token_index)
    assert framed.place(ragged([10, 20, 30], [40])).numpy().tolist() == [[0, 10, 20], [0, 40, 0]]


def test_a_single_text_is_cut_at_its_end_and_a_pair_at_the_end_of_the_longer_one() -> None:
    first, none = cut(ragged([1, 2, 3], [4]), None, 2)
    assert (first.to_list(), none) == ([[1, 2], [4]], None)
    first, second = cut(ragged([1, 2, 3, 4], [1], [1, 2]), ragged([5], [5, 6, 7], [8, 9]), 3)
    assert second is not None
    assert first.to_list() == [[1, 2], [1], [1, 2]]
    assert second.to_list() == [[5], [5, 6], [8]]


@pytest.mark.parametrize("max_tokens", [2, 3, 10, 11])
def test_tokens_are_removed_from_the_longer_side(max_tokens: int) -> None:
    a, b = map(np.ravel, np.meshgrid(np.arange(1, 25), np.arange(1, 25)))
    expected = []
    for left, right in zip(a.tolist(), b.tolist(), strict=True):
        while left + right > max_tokens:
            left, right = (left - 1, right) if left > right else (left, right - 1)
        expected.append((left, right))
    lengths = (side.numpy().tolist() for side in longest_first(a, b, max_tokens))
    assert list(zip(*lengths, strict=True)) == expected


def test_one_graph_function_joins_batches_of_any_size() -> None:
    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
    def framed(ids: tf.RaggedTensor) -> tf.Tensor:
        return join([Text([7], ids, [9])], 0).ids

    assert framed(ragged([1], [1, 2])).numpy().tolist() == [[7, 1, 9, 0], [7, 1, 2, 9]]
    assert framed(ragged([3])).numpy().tolist() == [[7, 3, 9]]
