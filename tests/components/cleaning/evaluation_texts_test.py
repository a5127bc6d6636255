"""Tests of finding evaluation texts in documents."""

import gzip
import json
import pathlib

import numpy as np
import pytest

from components.cleaning.evaluation_texts import read_evaluation_texts, shared_ngram_share
from components.cleaning.word_grams import hash_words
from components.config import CleaningConfig
from components.words import split_words
from models.errors import DataRefused


def share(text: str, path: str, n: int) -> float:
    return shared_ngram_share(hash_words(split_words(text)), path, n)


def test_the_share_of_a_documents_ngrams_in_evaluation_texts(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "One two three four."}) + "\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as stream:
        stream.write('{"text": "Five six seven."}\n{"text": "Eight nine"}\n')
    config = CleaningConfig(
        evaluation_texts=(str(tmp_path / "a.jsonl"), str(tmp_path / "b*")), evaluation_words=3
    )
    found = read_evaluation_texts(config, str(tmp_path / "ngrams.npy"))
    assert (found.texts, found.too_short) == (3, 1)
    assert len(np.load(found.path)) == 3
    assert share("ONE, two; three! Four", found.path, 3) == 1.0
    assert share("zero one two three", found.path, 3) == 0.5
    assert share("five six eight", found.path, 3) == 0.0
    assert share("eight nine", found.path, 3) == 0.0  # shorter than an n-gram
    assert share("", found.path, 3) == 0.0


def test_texts_shorter_than_an_ngram_are_counted_and_ignored(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("One two.\n\nThree.")
    config = CleaningConfig(evaluation_texts=(str(tmp_path),))
    found = read_evaluation_texts(config, str(tmp_path / "ngrams.npy"))
    assert (found.texts, found.too_short) == (2, 2)
    assert share("one two " * 20, found.path, 13) == 0.0


def test_malformed_evaluation_texts_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "One two."}\n{"sentence": "Three"}\n')
    config = CleaningConfig(evaluation_texts=(str(tmp_path / "a.jsonl"),))
    with pytest.raises(DataRefused, match="malformed: no text") as refused:
        read_evaluation_texts(config, str(tmp_path / "ngrams.npy"))
    assert refused.value.where == f"{tmp_path}/a.jsonl:2"
