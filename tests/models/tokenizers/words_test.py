"""Tests of normalization, word splitting and offsets before WordPiece."""

import collections

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tokenizers.config import WordPieceConfig
from models.tokenizers.words import WordSplitter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def uncased() -> WordSplitter:
    return WordSplitter(WordPieceConfig(lowercase=True))


@pytest.fixture(scope="module")
def cased() -> WordSplitter:
    return WordSplitter(WordPieceConfig(lowercase=False))


def words(splitter: WordSplitter, text: str | bytes) -> list[str]:
    return [word.decode() for word in splitter.words(tf.constant([text]))[0].numpy()]


def test_words_are_lower_case_without_accents_and_punctuation_stands_alone(uncased):
    assert words(uncased, "The Café, in 1990: $3.50!") == (
        ["the", "cafe", ",", "in", "1990", ":", "$", "3", ".", "50", "!"]
    )


def test_cased_words_keep_case_and_accents(cased):
    assert words(cased, "The Cafe\u0301") == ["The", "Caf\u00e9"]


def test_chinese_is_split_into_characters(uncased):
    assert words(uncased, "银行bank在河边。") == ["银", "行", "bank", "在", "河", "边", "。"]


def test_control_characters_are_removed_and_white_space_separates_words(uncased):
    text = "a\x00b\u200d\ufffdc\u3000d\u2028e\x0cf\x85g"
    assert words(uncased, text) == ["abc", "d", "e", "f", "g"]


def test_long_words_are_not_split(uncased):
    assert words(uncased, "a" * 300 + " b") == ["a" * 300, "b"]


def test_empty_texts_and_an_empty_batch_have_no_words(uncased):
    assert uncased.words(tf.constant(["", " \n"])).to_list() == [[], []]
    assert uncased.words(tf.constant([], tf.string)).to_list() == []
    distinct, counts = uncased.count(tf.constant([], tf.string))
    assert (distinct.shape, counts.shape) == ((0,), (0,))


def test_rows_keep_their_words(uncased):
    rows = uncased.words(tf.constant(["é b", "", "银 c"])).to_list()
    assert [[word.decode() for word in row] for row in rows] == [["e", "b"], [], ["银", "c"]]


def test_offsets_slice_the_raw_text(cased):
    text = "The Cafe\u0301: 银行"
    found, starts, limits = cased.words_with_offsets(tf.constant([text, ""]))
    assert [word.decode() for word in found.to_list()[0]] == ["The", "Café", ":", "银", "行"]
    pairs = zip(starts.to_list()[0], limits.to_list()[0], strict=True)
    assert [text.encode()[start:limit].decode() for start, limit in pairs] == (
        ["The", "Cafe\u0301", ":", "银", "行"]
    )
    assert [part.to_list()[1] for part in (found, starts, limits)] == [[], [], []]


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXT, max_size=4))
def test_count_counts_the_words(uncased, texts):
    batch = tf.constant(texts, tf.string)
    distinct, counts = uncased.count(batch)
    expected = collections.Counter(uncased.words(batch).flat_values.numpy().tolist())
    assert dict(zip(distinct.numpy().tolist(), counts.numpy().tolist(), strict=True)) == expected


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_words_are_never_empty_and_never_contain_white_space(uncased, cased, text):
    for splitter in (uncased, cased):
        for word in words(splitter, text):
            assert word
            assert word.split() == [word]


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=40))
def test_any_bytes_can_be_split(uncased, raw):
    assert uncased.words(tf.constant([raw])).nrows() == 1


@pytest.mark.parametrize("lowercase", [False, True])
def test_noncharacters_are_characters_too(lowercase: bool) -> None:
    text = "a\ufffe \ufdd0\U0001fffe b"
    splitter = WordSplitter(WordPieceConfig(lowercase=lowercase))
    words, starts, limits = splitter.words_with_offsets(tf.constant([text]))
    # TensorFlow replaces noncharacters by U+FFFD on the compatible stack, not on the modern one.
    found = [word.decode() for word in words.to_list()[0]]
    assert found in (text.split(), ["a�", "��", "b"])
    spans = zip(starts.to_list()[0], limits.to_list()[0], strict=True)
    assert [text.encode()[a:b].decode() for a, b in spans] == text.split()
