"""Tests that a SentencePiece model merges pairs by their ranks."""

import tensorflow as tf
import tensorflow_text as tf_text

from models.tokenizers.sentencepiece_model import bpe_model

LETTERS = ["a", "b", "c", "▁", " "]
LONG = "c" * 300


def pieces(entries: list[str], merged: list[str], text: str) -> list[str]:
    ranks = {entry: rank for rank, entry in enumerate(merged)}
    model = bpe_model(entries, LETTERS, ranks, "<unknown>")
    ids = tf_text.SentencepieceTokenizer(model, out_type=tf.int32).tokenize(tf.constant([text]))
    return [entries[number] for number in ids[0].numpy()]


def test_the_lowest_rank_merges_first_whatever_its_id() -> None:
    entries = ["ab", "bc", "<unknown>", *LETTERS]
    assert pieces(entries, ["bc", "ab"], "abc") == ["a", "bc"]
    assert pieces(entries, ["ab", "bc"], "abc") == ["ab", "c"]


def test_of_equal_pairs_the_leftmost_merges_first() -> None:
    assert pieces([*LETTERS, "aa", "<unknown>"], ["aa"], "aaaaa") == ["aa", "aa", "a"]


def test_a_pair_merges_into_an_entry_whatever_its_two_parts_are() -> None:
    entries = [*LETTERS, "bc", "ab", "abc", "<unknown>"]
    assert pieces(entries, ["bc", "ab", "abc"], "abc") == ["abc"]


def test_an_entry_that_is_neither_letter_nor_ranked_is_in_no_text() -> None:
    entries = [*LETTERS, "ab", "abc", "<unknown>"]
    assert pieces(entries, ["ab"], "abc") == ["ab", "c"]


def test_white_space_is_a_character_like_any_other() -> None:
    entries = [*LETTERS, "  ", " ▁", "<unknown>"]
    assert pieces(entries, ["  ", " ▁"], "   ▁a ") == ["  ", " ▁", "a", " "]


def test_a_character_that_is_no_letter_is_unknown() -> None:
    assert pieces([*LETTERS, "<unknown>"], [], "aéb") == ["a", "<unknown>", "b"]


def test_entries_may_be_long() -> None:
    halves = ["c" * length for length in (2, 4, 8, 16, 32, 64, 128, 256)]
    ranked = [*halves, "c" * 288, "c" * 296, LONG]
    assert pieces([*LETTERS, *ranked, "<unknown>"], ranked, LONG + "a") == [LONG, "a"]
