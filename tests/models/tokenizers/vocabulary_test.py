"""Tests of learning, reading and importing WordPiece vocabularies."""

import collections
import itertools
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
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.vocabulary import learn_entries, read_vocabulary
from models.tokenizers.wordpiece import WordPieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
COUNTS = {"ab": 5, "abc": 3, "b": 1, "银": 4, ",": 1}
ROOT = pathlib.Path(__file__).resolve().parents[3]


def learned(counts: dict[str, int], size: int) -> list[str]:
    """The entries after the special tokens."""
    entries = learn_entries(counts, WordPieceConfig(vocabulary_size=size))
    assert entries[:5] == SPECIAL
    return entries[5:]


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of this project; TensorFlow also warns about repeated tracing."""
    return [each.getMessage() for each in caplog.records if each.name == "polyseme.vocabulary"]


def test_characters_by_code_point_then_merges_best_first() -> None:
    characters = [",", "a", "b", "c", "银", "##a", "##b", "##c"]
    assert learned(COUNTS, 30) == [*characters, "ab", "abc"]


def test_characters_that_are_always_whole_words_have_no_continuation_form() -> None:
    assert learned({"银": 9, "行": 9, "!": 2, "a": 1}, 30) == ["!", "a", "行", "银"]


@pytest.mark.parametrize(
    ("size", "entries"),
    [
        (7, ["b", "##b"]),
        (8, ["b", "##b"]),
        (9, ["b", "##b", "a", "##a"]),
        (12, ["b", "##b", "a", "c", "银", "##a", "##c"]),
        (14, ["a", "b", "##a", "##b", "ab", ",", "c", "银", "##c"]),
    ],
)
def test_if_not_all_characters_fit_the_most_frequent_are_kept(
    size: int, entries: list[str]
) -> None:
    assert learned(COUNTS, size) == entries


@pytest.mark.parametrize("counts", [{}, {"": 3}, {"a\0": 3}])
def test_without_a_word_there_is_nothing_to_learn(counts: dict[str, int]) -> None:
    with pytest.raises(DataRefused, match="no word to learn from"):
        learned(counts, 30)


@pytest.mark.parametrize("counts", [{"a" * 101: 3}, {"é" * 51: 3}])
def test_if_all_words_are_too_long_the_error_has_a_remedy(counts: dict[str, int]) -> None:
    with pytest.raises(DataRefused, match="all 1 distinct words are too long") as refused:
        learned(counts, 30)
    assert "insert spaces between words" in str(refused.value.remedy)


def test_nothing_is_learned_from_words_that_would_be_unknown() -> None:
    assert learned({"ab": 2, "x" * 101: 99, "y\0": 99}, 30) == ["a", "b", "##a", "##b", "ab"]


WORD_COUNTS = st.dictionaries(
    st.text("abcd银", min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=12
)


@settings(max_examples=6, deadline=None)
@given(WORD_COUNTS, st.integers(7, 60), st.randoms(use_true_random=False))
def test_the_order_of_the_words_changes_nothing(
    counts: dict[str, int], size: int, shuffled: random.Random
) -> None:
    words = list(counts)
    shuffled.shuffle(words)
    entries = learned(counts, size)
    assert learned({word: counts[word] for word in words}, size) == entries
    assert len(set(entries)) == len(entries) <= size - 5


def merged(counts: dict[str, int], room: int) -> list[str]:
    """Byte-pair merges, one at a time (Sennrich et al., 2016); ties are broken by ids."""
    words = {word: [word[0], *("##" + letter for letter in word[1:])] for word in counts}
    inside = {letter for word in words if len(word) > 1 for letter in word}
    symbols = [*sorted(set("".join(words))), *("##" + letter for letter in sorted(inside))]
    ids = {symbol: number for number, symbol in enumerate(symbols)}
    merges = []
    while len(ids) < room:
        pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, parts in words.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]), default=None)
        if best is None or pairs[best] < 2:
            break
        new = best[0] + best[1].removeprefix("##")
        if new not in ids:
            merges.append(new)
            ids[new] = len(ids)
        for parts in words.values():
            for i in range(len(parts) - 1):
                if tuple(parts[i : i + 2]) == best:
                    parts[i : i + 2] = [new]
    return merges


@settings(max_examples=12, deadline=None)
@given(WORD_COUNTS, st.integers(20, 40))
def test_merges_equal_those_of_the_published_algorithm(counts: dict[str, int], room: int) -> None:
    entries = learned(counts, 5 + room)
    assert [e for e in entries if len(e.removeprefix("##")) > 1] == merged(counts, room)


@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
def test_a_learned_vocabulary_knows_every_word_of_its_text(lowercase: bool) -> None:
    config = WordPieceConfig(vocabulary_size=50_000, lowercase=lowercase)
    codes = [*range(0x3100), *range(0x4E00, 0x4F00), *range(0x1F300, 0x1F600)]
    texts = tf.constant([f"{chr(code)} a{chr(code)}b" for code in codes])
    splitter = WordPieceTokenizer.word_splitter(config)
    words, counts = splitter.count(texts)
    tokenizer = WordPieceTokenizer.learn(
        {w.decode(): c for w, c in zip(words.numpy(), counts.numpy().tolist(), strict=True)}, config
    )
    assert tokenizer.config == config
    assert tokenizer.special_ids["unknown"] not in tokenizer.tokenize(texts).flat_values.numpy()


LEARN = """
import json, sys
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.vocabulary import learn_entries
counts = dict.fromkeys(set(sys.argv[1:]), 2)
print(json.dumps([list(counts), learn_entries(counts, WordPieceConfig(vocabulary_size=80))]))
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
    assert entries == [*SPECIAL, *learned(dict.fromkeys(set(words), 2), 80)]
    assert len(entries) == 80


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        ("\n".join(SPECIAL[:-1]).encode(), r"(?s)lacks \[MASK\].*vocab.txt"),
        (
            "\n".join([*SPECIAL, "a", "b", "a"]).encode(),
            r"(?s)'a'.*vocab.txt:8 \(first on line 6\)",
        ),
        ("\n".join([*SPECIAL, "", "a"]).encode(), "(?s)empty.*vocab.txt:6"),
        ("\n".join(SPECIAL).encode() + b"\nb\xff", "(?s)UTF-8.*0xff.*vocab.txt:6"),
    ],
    ids=["no bytes", "blank", "no mask", "repeated", "empty line", "not UTF-8"],
)
def test_a_vocabulary_that_cannot_be_used_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_vocabulary(path)


def test_a_missing_vocabulary_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)No such file.*none\.txt"):
        read_vocabulary(tmp_path / "none.txt")


def test_windows_line_ends_and_a_byte_order_mark_are_removed(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*SPECIAL, "a", "\u2028"]).encode())
    assert read_vocabulary(path) == [*SPECIAL, "a", "\u2028"]


def imported(folder: pathlib.Path, entries: list[str], **config: bool) -> WordPieceTokenizer:
    path = folder / "vocab.txt"
    path.write_bytes("\n".join(entries).encode())
    return WordPieceTokenizer.import_vocabulary(path, WordPieceConfig(**config))


def test_ids_are_the_numbers_of_the_lines(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = ["[PAD]", "the", "[MASK]", "[SEP]", "bank", "[UNK]", "##s", "[CLS]"]
    tokenizer = imported(tmp_path, entries)
    assert list(tokenizer.vocabulary) == entries
    assert tokenizer.special_ids == {"padding": 0, "unknown": 5, "start": 7, "end": 3, "mask": 2}
    assert tokenizer.tokenize(tf.constant(["The banks x"])).to_list() == [[1, 4, 6, 5]]
    assert logged_warnings(caplog) == []


@pytest.mark.parametrize(
    ("unused", "lines"),
    [
        (["a\0"], "6"),
        (["\x11", "b" * 257], "6, 7"),
        (["\0" * n for n in range(1, 12)], "6, 7, 8, 9, 10, 11, 12, 13, 14, 15, …"),
    ],
)
def test_entries_that_match_nothing_are_logged_and_keep_their_ids(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, unused: list[str], lines: str
) -> None:
    tokenizer = imported(tmp_path, [*SPECIAL, *unused, "the"])
    assert logged_warnings(caplog) == [
        f"{tmp_path}/vocab.txt: the entries on lines {lines} match no text "
        "(NUL, U+0011 or too long)"
    ]
    assert tokenizer.tokenize(tf.constant(["the"])).to_list() == [[5 + len(unused)]]


@pytest.mark.parametrize(
    ("words", "lowercase", "warns"),
    [
        (["the", "The", "Bank"], True, True),
        (["the", "The", "Bank"], False, False),
        (["The", *"abcdefgh"], True, False),
        (["the", "银", "1"], True, False),
    ],
    ids=["capitals", "cased", "few capitals", "no capital"],
)
def test_capitals_in_a_lower_case_vocabulary_are_logged(
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    words: list[str],
    lowercase: bool,
    warns: bool,
) -> None:
    imported(tmp_path, [*SPECIAL, *words], lowercase=lowercase)
    assert logged_warnings(caplog) == warns * [
        f"{tmp_path}/vocab.txt: 2 entries with capitals match no text, because "
        "model.tokenizer.lowercase is True"
    ]


def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as refused:
        imported(tmp_path, [*SPECIAL, "a", "a"])
    assert refused.value.where == f"{tmp_path}/vocab.txt:7 (first on line 6)"
