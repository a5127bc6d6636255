"""Tests of GPT-2's word splitting in graph against tiktoken."""

import collections
import time

import pytest
import tensorflow as tf
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.tokenizers.byte_bpe_words import ByteBpeWordSplitter
from models.tokenizers.config import ByteBpeConfig

PATTERN = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's own
)
SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2007\u200a\u2028\u2029\u202f\u205f\u3000"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30) | st.text(
    st.sampled_from(
        SPACES
        + "    \n''’sStTdDmMrReEvVlLaé中٣²Ⅷ1!?-—😀\u200d\u0301\0\x1c\x7f\u200b\ufeff\ufffd\ufffe"
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def splitter() -> ByteBpeWordSplitter:
    return ByteBpeWordSplitter(ByteBpeConfig())


def words(splitter: ByteBpeWordSplitter, text: str | bytes) -> list[str]:
    return [word.decode() for word in splitter.words(tf.constant([text]))[0].numpy()]


def words_by_tiktoken(text: str) -> list[str]:
    """The words of tiktoken, found with a vocabulary of all byte strings in the text."""
    raw = text.encode()
    parts = {raw[i:j] for i in range(len(raw)) for j in range(i + 1, len(raw) + 1)}
    ordered = sorted(parts | {bytes([byte]) for byte in range(256)}, key=lambda p: (len(p), p))
    ranks = {part: rank for rank, part in enumerate(ordered)}
    encoding = tiktoken.Encoding("all", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return [encoding.decode([token]) for token in encoding.encode_ordinary(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", ["Hello", ",", " world", "!"]),
        ("don't DON'T we'll 'tis", ["don", "'t", " DON", "'", "T", " we", "'ll", " '", "tis"]),
        ("'s'S''s", ["'s", "'", "S", "''", "s"]),
        ("in 1990: $3.50", ["in", " 1990", ":", " $", "3", ".", "50"]),
        ("a  b", ["a", " ", " b"]),
        ("a   b  ", ["a", "  ", " b", "  "]),
        ("  a", [" ", " a"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("a \n b", ["a", " \n", " b"]),
        ("a \tb", ["a", " ", "\t", "b"]),
        ("a\u3000\xa0b", ["a", "\u3000", "\xa0", "b"]),
        ("\n", ["\n"]),
        ("银行 bank。", ["银行", " bank", "。"]),
        ("x²٣Ⅷ", ["x", "²٣Ⅷ"]),
        ("cafe\u0301s 😀!", ["cafe", "\u0301", "s", " 😀!"]),
        ("\0 \0", ["\0", " \0"]),
        ("", []),
    ],
)
def test_words(splitter, text, expected):
    assert words(splitter, text) == expected
    assert words_by_tiktoken(text) == expected


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
@example("".join(f"{space}{space}a{space}!{space}1" for space in SPACES) + SPACES)
def test_words_equal_tiktokens(splitter, text):
    assert words(splitter, text) == words_by_tiktoken(text)


def characters(pattern: str) -> set[str]:
    """All characters that match a pattern in tiktoken."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("one", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    return set(encoding.decode(encoding.encode_ordinary(every)))


@pytest.mark.parametrize(("pattern", "neighbor"), [(r"\p{L}", "a"), (r"\p{N}", "1"), (r"\s", "\n")])
def test_classes_of_characters_equal_tiktokens(splitter, pattern, neighbor):
    """Characters that tiktoken's Unicode lacks are excluded, because a newer RE2 may have them."""
    assigned = sorted(characters(r"\P{Cn}") - {" "})  # a space joins any next character
    # A character has the class of the neighbors with which it forms one word.
    words = splitter.words(tf.constant([character + neighbor for character in assigned]))
    together = {
        c for c, count in zip(assigned, words.row_lengths().numpy(), strict=True) if count == 1
    }
    differing = together ^ (characters(pattern) & set(assigned))
    assert not differing, sorted(map(hex, map(ord, differing)))


def test_rows_keep_their_words_and_an_empty_batch_has_none(splitter):
    rows = splitter.words(tf.constant(["a b", "", " ", "银"])).to_list()
    assert [[word.decode() for word in row] for row in rows] == [["a", " b"], [], [" "], ["银"]]
    assert splitter.words(tf.constant([], tf.string)).to_list() == []
    distinct, counts = splitter.count(tf.constant([], tf.string))
    assert (distinct.shape, counts.shape) == ((0,), (0,))


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT | st.binary(max_size=30), max_size=4))
def test_count_counts_the_words(splitter, texts):
    batch = tf.constant(texts, tf.string)
    distinct, counts = splitter.count(batch)
    expected = collections.Counter(splitter.words(batch).flat_values.numpy().tolist())
    assert dict(zip(distinct.numpy().tolist(), counts.numpy().tolist(), strict=True)) == expected


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=40) | st.text(max_size=10).map(lambda text: text.encode()[1:]))
@example(b"a  \xff \xf0\x9f\x98 b\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80\xe4\xbd")
def test_invalid_utf8_is_split_as_replacement_characters(splitter, raw):
    found = splitter.words(tf.constant([raw]))[0].numpy().tolist()
    text = b"".join(found).decode()
    assert text.replace("\ufffd", "") == raw.decode(errors="ignore").replace("\ufffd", "")
    assert [word.decode() for word in found] == words_by_tiktoken(text)


@pytest.mark.parametrize("piece", [" ", "a", "银", "'", "\n ", "a ", "😀1"])
def test_a_long_text_is_split_in_linear_time(splitter, piece):
    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        splitter.words(tf.constant([piece * repeats]))
        return time.perf_counter() - start

    seconds(1)
    few = seconds(20_000)
    assert seconds(400_000) < 20 * few * 6 + 0.5  # quadratic time would be 400 times as long
