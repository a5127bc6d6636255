"""Tests of learning and importing vocabularies of byte-level BPE."""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, DataRefused
from models.tokenizers.byte_bpe import ByteBpeTokenizer
from models.tokenizers.byte_bpe_files import BYTE_LETTERS, END_OF_TEXT, BytePairs
from models.tokenizers.byte_bpe_vocabulary import learn_byte_pairs
from models.tokenizers.config import ByteBpeConfig

LETTERS = sorted(BYTE_LETTERS)
COUNTS = {"low": 5, " low": 7, " lower": 2, "银": 4, " x": 1}
ROOT = pathlib.Path(__file__).resolve().parents[3]


def learned(counts: dict[str, int], size: int) -> list[str]:
    """The entries between the bytes and end-of-text."""
    entries = list(learn_byte_pairs(counts, ByteBpeConfig(vocabulary_size=size)).entries)
    assert entries[:256] == LETTERS
    assert entries[-1] == END_OF_TEXT
    assert len(entries) <= size
    return entries[256:-1]


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of this project; TensorFlow also warns about repeated tracing."""
    return [each.getMessage() for each in caplog.records if each.name == "polyseme.vocabulary"]


def test_bytes_then_merges_best_first_then_end_of_text() -> None:
    assert learned(COUNTS, 300) == ["lo", "low", "Ġlow", "éĵ", "éĵ¶", "er", "Ġlower"]
    assert learned(COUNTS, 259) == ["lo", "low"]
    assert learned(COUNTS, 257) == []


@pytest.mark.parametrize("counts", [{}, {"": 3}])
def test_without_a_word_there_is_nothing_to_learn(counts: dict[str, int]) -> None:
    with pytest.raises(DataRefused, match="no word to learn from"):
        learned(counts, 300)


@settings(max_examples=6, deadline=None)
@given(
    st.dictionaries(st.text(" ab银", min_size=1, max_size=6), st.integers(1, 9), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_words_changes_nothing(
    counts: dict[str, int], shuffled: random.Random
) -> None:
    words = list(counts)
    shuffled.shuffle(words)
    assert learned({word: counts[word] for word in words}, 280) == learned(counts, 280)


def test_learned_words_are_single_tokens_and_nothing_is_unknown() -> None:
    config = ByteBpeConfig(vocabulary_size=300)
    texts = tf.constant(["the bank of the river"] * 3)
    words, counts = ByteBpeTokenizer.word_splitter(config).count(texts)
    tokenizer = ByteBpeTokenizer.learn(
        {w.decode(): c for w, c in zip(words.numpy(), counts.numpy().tolist(), strict=True)}, config
    )
    assert tokenizer.config == config
    ids = tokenizer.tokenize(tf.constant(["the bank of the river", "银"]))
    assert ids.row_lengths().numpy().tolist() == [5, 3]


LEARN = """
import json, sys
from models.tokenizers.byte_bpe_vocabulary import learn_byte_pairs
from models.tokenizers.config import ByteBpeConfig
counts = dict.fromkeys(set(sys.argv[1:]), 2)
pairs = learn_byte_pairs(counts, ByteBpeConfig(vocabulary_size=330))
print(json.dumps([list(counts), pairs.entries]))
"""


def test_a_process_with_another_hash_seed_learns_the_same() -> None:
    letters = random.Random(0)
    words = ["".join(letters.choices("abcd银", k=3)) for _ in range(200)]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    answer = subprocess.run(
        [sys.executable, "-c", LEARN, *words],
        check=True, capture_output=True, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": seed},
    ).stdout  # fmt: skip
    order, entries = json.loads(answer.splitlines()[-1])
    assert order != list(set(words))
    assert entries == [*LETTERS, *learned(dict.fromkeys(set(words), 2), 330), END_OF_TEXT]
    assert len(entries) == 330


def test_imported_ids_are_kept_and_entries_that_occur_in_no_text_are_logged(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = (END_OF_TEXT, "<pad>", "Ġth", *LETTERS, "th")
    BytePairs(entries, (("t", "h"), ("Ġ", "th"))).write(tmp_path)
    tokenizer = ByteBpeTokenizer.import_vocabulary(tmp_path, ByteBpeConfig())
    assert list(tokenizer.vocabulary) == list(entries)
    assert tokenizer.special_ids == {"end_of_text": 0}
    ids = tokenizer.tokenize(tf.constant(["th th<pad>"])).to_list()
    assert ids == [[259, 2, *(3 + LETTERS.index(letter) for letter in "<pad>")]]
    assert logged_warnings(caplog) == [
        f"{tmp_path}: 1 entries are neither bytes nor results of merges, so no text has "
        "them: '<pad>'"
    ]


def test_a_file_that_cannot_be_used_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as refused:
        ByteBpeTokenizer.import_vocabulary(tmp_path, ByteBpeConfig())
    assert refused.value.where == str(tmp_path / "encoder.json")
