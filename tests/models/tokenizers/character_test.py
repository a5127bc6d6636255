"""Tests of the character tokenizer: rows, offsets, ids of the softmax, vocabularies."""

import json
import logging
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, DataRefused
from models.tokenizers import character
from models.tokenizers.character import (
    SENTENCE_END,
    SENTENCE_START,
    CharacterTokenizer,
)
from models.tokenizers.config import CharacterConfig
from models.tokenizers.words import WordSplitter

SPECIAL = ["<S>", "</S>", "<UNK>"]
CONFIG = CharacterConfig(vocabulary_size=100)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    st.sampled_from("aé銀𝒳<S>/ .,'\u0301\u0000\u200d\ufeff\u00a0"), max_size=120
)


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of this project; TensorFlow also warns about repeated tracing."""
    return [each.getMessage() for each in caplog.records if each.name == "polyseme.vocabulary"]


@pytest.fixture(scope="module")
def tokenizer() -> CharacterTokenizer:
    return CharacterTokenizer([*SPECIAL, "the", "The", "bank", "银", ".", "'"], CONFIG)


@pytest.fixture(scope="module")
def splitter() -> WordSplitter:
    return CharacterTokenizer.word_splitter(CONFIG)


def words(tokenizer: CharacterTokenizer, *texts: str | bytes) -> list[list[str]]:
    rows_of_words = tokenizer.tokens(tokenizer.tokenize(tf.constant(texts, tf.string))).to_list()
    return [[word.decode() for word in row] for row in rows_of_words]


def rows(tokenizer: CharacterTokenizer, *words: str | bytes) -> np.ndarray:
    return tokenizer.characters(tf.constant(words, tf.string)).numpy()


def test_a_word_is_its_bytes_between_two_markers(tokenizer: CharacterTokenizer) -> None:
    ids = tokenizer.tokenize(tf.constant(["é"]))
    assert (ids.shape, ids.dtype, ids.ragged_rank) == ((1, None, 50), tf.int32, 1)
    assert ids[0, 0].numpy().tolist() == [259, 0xC3 + 1, 0xA9 + 1, 260] + [261] * 46


@pytest.mark.parametrize(
    ("word", "last"),
    [
        (b"", (260, 261, 261, 261, 261)),
        (b"\x00", (1, 260, 261, 261, 261)),
        (b"\xff" * 47, (256, 256, 256, 260, 261)),
        (b"\xff" * 48, (256, 256, 256, 256, 260)),
        (b"\xff" * 49, (256, 256, 256, 256, 260)),
    ],
)
def test_only_48_bytes_of_a_word_are_encoded(
    tokenizer: CharacterTokenizer, word: bytes, last: tuple[int, ...]
) -> None:
    (row,) = rows(tokenizer, word)
    assert row[0] == 259
    where = [1, 2, 3, 4, 5] if len(word) < 2 else [45, 46, 47, 48, 49]
    assert tuple(row[where]) == last


def test_characters_keep_the_shape_of_words(tokenizer: CharacterTokenizer) -> None:
    assert tokenizer.characters(tf.constant([["a", "b"], ["c", "d"], ["", ""]])).shape == (3, 2, 50)
    assert tokenizer.characters(tf.constant("a")).shape == (50,)
    assert tokenizer.characters(tf.constant([], tf.string)).shape == (0, 50)


def test_no_text_gives_the_markers_of_sentences(tokenizer: CharacterTokenizer) -> None:
    assert SENTENCE_START.tolist() == [259, 257, 260] + [261] * 47
    assert SENTENCE_END.tolist() == [259, 258, 260] + [261] * 47
    assert words(tokenizer, "<S> </S>") == [["<", "S", ">", "<", "/", "S", ">"]]
    markers = tf.constant([SENTENCE_START, SENTENCE_END])
    assert tokenizer.tokens(markers).numpy().tolist() == [b"<S>", b"</S>"]


def test_a_row_of_zeros_is_an_empty_word(tokenizer: CharacterTokenizer) -> None:
    assert tokenizer.tokens(tf.zeros([2, 3, 50], tf.int32)).numpy().tolist() == [[b""] * 3] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The banks' café, ÉTÉ.", ["The", "banks", "'", "café", ",", "ÉTÉ", "."]),
        ("银行bank。", ["银", "行", "bank", "。"]),
        ("U.S. 1,000", ["U", ".", "S", ".", "1", ",", "000"]),
        ("cafe\u0301", ["café"]),
        (" \t\n", []),
        ("ab" * 30, ["ab" * 24]),
        ("aé" + "銀行" * 3 + "é" * 40, ["aé", "銀", "行", "銀", "行", "銀", "行", "é" * 24]),
        ("a" + "é" * 40, ["a" + "é" * 23]),  # the 24th é would end in the 49th byte
    ],
)
def test_words_keep_their_case_and_chinese_is_split_into_characters(
    tokenizer: CharacterTokenizer, text: str, expected: list[str]
) -> None:
    assert words(tokenizer, text) == [expected]


def test_detokenize_joins_words_by_single_spaces(tokenizer: CharacterTokenizer) -> None:
    ids = tokenizer.tokenize(tf.constant(["The  bank.", "", "银行"]))
    texts = [text.decode() for text in tokenizer.detokenize(ids).numpy()]
    assert texts == ["The bank .", "", "银 行"]


def test_offsets_slice_the_raw_text(tokenizer: CharacterTokenizer) -> None:
    text = "\ufeffThe  cafe\u0301: 银" + " " + "x" * 60
    ids, starts, limits = tokenizer.tokenize_with_offsets(tf.constant([text, ""]))
    assert (starts.dtype, limits.dtype) == (tf.int64, tf.int64)
    raw = text.encode()
    pieces = [
        raw[start:limit].decode()
        for start, limit in zip(starts[0].numpy(), limits[0].numpy(), strict=True)
    ]
    assert pieces == ["The", "cafe\u0301", ":", "银", "x" * 60]
    assert ids.row_lengths().numpy().tolist() == [5, 0]
    assert starts.row_lengths().numpy().tolist() == [5, 0]


def test_an_empty_batch_has_the_same_dimensions(tokenizer: CharacterTokenizer) -> None:
    none = tf.constant([], tf.string)
    assert tokenizer.tokenize(none).to_tensor().shape == (0, 0, 50)
    assert [part.nrows() for part in tokenizer.tokenize_with_offsets(none)] == [0, 0, 0]
    assert tokenizer.tokenize(tf.constant([""])).to_tensor().shape == (1, 0, 50)
    assert tokenizer.detokenize(tokenizer.tokenize(none)).shape == (0,)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXT | st.binary(max_size=80), max_size=4))
def test_any_text_gives_the_splitters_words_cut_to_48_bytes(tokenizer, splitter, texts) -> None:
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    batch = tf.constant(raw, tf.string)
    whole = splitter.words(batch).to_list()
    expected = [[word[:48].decode(errors="ignore") for word in row] for row in whole]
    ids, starts, limits = tokenizer.tokenize_with_offsets(batch)
    assert words(tokenizer, *raw) == expected
    np.testing.assert_array_equal(tokenizer.tokenize(batch).flat_values, ids.flat_values)
    for text, row, first, after in zip(
        raw, expected, starts.to_list(), limits.to_list(), strict=True
    ):
        assert len(row) == len(first) == len(after)
        pairs = zip(first, after, strict=True)
        assert all(0 <= start < limit <= len(text) for start, limit in pairs)
        assert first == sorted(first)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT, min_size=2, max_size=4))
def test_the_rows_of_a_text_do_not_depend_on_its_batch(tokenizer, texts) -> None:
    together = tokenizer.tokenize(tf.constant(texts))
    for row, text in enumerate(texts):
        alone = tokenizer.tokenize(tf.constant([text]))[0]
        np.testing.assert_array_equal(alone, together[row])


@settings(max_examples=300, deadline=None)
@given(word=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_word_of_any_characters_is_decoded(tokenizer, word) -> None:
    decoded = tokenizer.tokens(rows(tokenizer, word)).numpy()[0].decode()
    assert decoded == word.encode()[:48].decode(errors="ignore")


def test_the_vocabulary_belongs_to_the_softmax(tokenizer: CharacterTokenizer) -> None:
    assert list(tokenizer.vocabulary) == [*SPECIAL, "the", "The", "bank", "银", ".", "'"]
    assert tokenizer.special_ids == {"start": 0, "end": 1, "unknown": 2}


def test_rows_have_the_ids_of_their_words(tokenizer: CharacterTokenizer) -> None:
    ids = tokenizer.tokenize(tf.constant(["The 银行's <UNK> <S>", "the bank."]))
    found = tokenizer.word_ids(ids.flat_values.numpy())
    assert found.dtype == np.int32
    assert found.tolist() == [4, 6, 2, 8, 2, 2, 2, 2, 2, 2, 2, 3, 5, 7]
    assert tokenizer.unknown(ids.flat_values.numpy()).tolist() == [id == 2 for id in found]
    markers = np.stack([SENTENCE_START, SENTENCE_END, np.zeros(50, np.int64)])
    assert tokenizer.word_ids(markers).tolist() == [0, 1, 2]
    assert tokenizer.word_ids(rows(tokenizer, "<S>", "</S>", "<UNK>")).tolist() == [2, 2, 2]
    assert tokenizer.word_ids(np.zeros([0, 50], np.int32)).shape == (0,)


def test_words_that_begin_with_the_same_48_bytes_are_one() -> None:
    long = ["a" * 60, "a" * 48, "a" * 47]
    tokenizer = CharacterTokenizer([*SPECIAL, *long], CONFIG)
    assert tokenizer.word_ids(rows(tokenizer, *long, "a" * 49)).tolist() == [3, 3, 5, 3]


def test_a_vocabulary_of_special_tokens_alone_knows_no_word() -> None:
    tokenizer = CharacterTokenizer(SPECIAL, CONFIG)
    assert tokenizer.word_ids(rows(tokenizer, "a")).tolist() == [2]


@settings(max_examples=50, deadline=None)
@given(
    vocabulary=st.lists(st.text("ab", min_size=1, max_size=6), unique=True),
    queries=st.lists(st.text("ab", max_size=6), min_size=1),
)
@pytest.mark.parametrize(("bits", "max_size"), [(1, 0), (4, 3), (64, 40)])
def test_no_collision_gives_a_wrong_id(bits, max_size, vocabulary, queries) -> None:
    """With few bits many words collide; the vocabulary is hashed again until its words do not."""
    all_bits, mask = character.hash_rows, np.uint64(2**bits - 1)
    vocabulary = vocabulary[:max_size]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(character, "hash_rows", lambda *args: all_bits(*args) >> np.uint64(3) & mask)
        tokenizer = CharacterTokenizer([*SPECIAL, *vocabulary], CONFIG)
        ids = tokenizer.word_ids(rows(tokenizer, *queries)).tolist()
    assert ids == [vocabulary.index(word) + 3 if word in vocabulary else 2 for word in queries]


def learned(counts: dict[str, int], size: int = 100) -> list[str]:
    """The entries after the special tokens."""
    entries = list(CharacterTokenizer.learn(counts, CharacterConfig(size)).vocabulary)
    assert entries[:3] == SPECIAL
    return entries[3:]


def test_the_most_frequent_words_are_learned_and_of_equally_frequent_the_first() -> None:
    counts = {"b": 2, "a": 2, "the": 9, "c": 1, "<S>": 7, "": 8}
    assert learned(counts, 6) == ["the", "a", "b"]
    assert learned(counts) == ["the", "a", "b", "c"]


def test_words_that_begin_with_the_same_48_bytes_are_learned_as_one() -> None:
    assert learned({"x": 4, "a" * 48: 2, "a" * 50: 3, "a" * 49: 3}) == ["a" * 49, "x"]


def test_learning_from_nothing_is_refused() -> None:
    with pytest.raises(DataRefused, match="no word"):
        learned({"<S>": 1})


def test_save_and_load_give_the_same_tokenizer(tokenizer, tmp_path: pathlib.Path) -> None:
    tokenizer.save(tmp_path)
    lines = (tmp_path / "vocab.txt").read_bytes().decode().split("\n")
    assert lines == [*tokenizer.vocabulary, ""]
    loaded = CharacterTokenizer.load(tmp_path)
    assert list(loaded.vocabulary) == list(tokenizer.vocabulary)
    assert loaded.config == tokenizer.config


def test_load_names_the_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        CharacterTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("lines", "what", "number"),
    [
        (["<S>", "</S>", "the", "<UNK>"], "'the' instead of '<UNK>'", 3),
        (["<s>", "</S>", "<UNK>"], "'<s>' instead of '<S>'", 1),
        (["<S>", "</S>"], "lacks '<UNK>'", 3),
        ([*SPECIAL, "a", "a"], "'a' of the vocabulary is repeated", "5 (first on line 4)"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: pathlib.Path, lines: list[str], what: str, number: int | str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=what) as refused:
        CharacterTokenizer.import_vocabulary(path, CONFIG)
    assert refused.value.where == f"{path}:{number}"


def test_imported_words_keep_their_ids_and_unreachable_words_are_logged(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vocab.txt"
    entries = [*SPECIAL, "the", "n't", "a" * 50, "a" * 49, "cafe\u0301", "银", "银行"]
    path.write_text("\n".join([*entries, "!!!MAXTERMID"]))
    with caplog.at_level(logging.WARNING, "polyseme.vocabulary"):
        tokenizer = CharacterTokenizer.import_vocabulary(path, CONFIG)
    assert list(tokenizer.vocabulary) == entries
    unused = f"\"n't\", '{'a' * 49}', 'cafe\u0301', '银行'"
    assert logged_warnings(caplog) == [f"{path}: 4 of 7 words never come from a text: {unused}"]


SERVE = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
ids, starts, limits = model.tokenizer.tokenize_with_offsets(tf.constant(json.loads(sys.argv[2])))
words = model.signatures["words"](texts=tf.constant(json.loads(sys.argv[2])))["words"]
rows = [[word.decode() for word in row] for row in words.numpy()]
print(json.dumps([ids.to_list(), starts.to_list(), limits.to_list(), rows]))
"""


@pytest.mark.e2e
def test_a_saved_module_tokenizes_in_a_process_without_this_project(
    tokenizer: CharacterTokenizer, tmp_path: pathlib.Path
) -> None:
    module = tf.Module()
    module.tokenizer = tokenizer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "texts")])
    def words_of(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"words": tokenizer.tokens(tokenizer.tokenize(texts).to_tensor())}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"words": words_of})
    texts = ["The Cafe\u0301, 银行", "", "\x00"]
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model"), json.dumps(texts)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    expected = tokenizer.tokenize_with_offsets(tf.constant(texts))
    *parts, rows_of_words = json.loads(answer.stdout.splitlines()[-1])
    assert parts == [part.to_list() for part in expected]
    assert rows_of_words == [["The", "Café", ",", "银", "行"], [""] * 5, [""] * 5]


@pytest.mark.skipif("POLYSEME_DATA" not in os.environ, reason="POLYSEME_DATA is not set")
def test_every_known_word_of_a_corpus_is_found(splitter: WordSplitter) -> None:
    data = pathlib.Path(os.environ["POLYSEME_DATA"]) / "fixtures" / "elmo-allennlp"
    texts = [text for rows in json.loads((data / "sentences.json").read_text()) for text in rows]
    found, counts = splitter.count(tf.constant(texts))
    word_counts = {w.decode(): int(c) for w, c in zip(found.numpy(), counts.numpy(), strict=True)}
    tokenizer = CharacterTokenizer.learn(word_counts, CharacterConfig())
    characters = tokenizer.tokenize(tf.constant(texts)).flat_values
    words = [tokenizer.vocabulary[n].encode() for n in tokenizer.word_ids(characters.numpy())]
    assert words == tokenizer.tokens(characters).numpy().tolist()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=1)))
def test_packed_rows_are_unpacked(words: list[str]) -> None:
    rows = CharacterTokenizer.characters(tf.constant(words, tf.string)).numpy()
    packed = character.pack_rows(np.stack([*rows, SENTENCE_START, SENTENCE_END])).tolist()
    assert packed == [*(word.encode()[:48] for word in words), b"\x01", b"\x02"]
    expected = np.stack([*rows, SENTENCE_START, SENTENCE_END, [0] * 50]).tolist()
    assert character.unpack_rows(tf.constant([*packed, b""])).numpy().tolist() == expected
