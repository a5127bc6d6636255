"""Tests of VocabularyTrainer: counts, equal bytes on every runner, and the three sources."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import logging
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.types import standard_artifacts

from components.artifacts import Vocabulary
from components.config import VocabularyConfig
from components.documents import Document, serialize
from components.vocabulary import component as vocabulary_trainer
from components.vocabulary.component import VocabularyTrainer, count_words
from models.errors import ConfigError, DataRefused
from models.tokenizers.config import WordPieceConfig
from models.tokenizers.wordpiece import WordPieceTokenizer
from tests.testdata import little_bert

LITTLE = (("The river rose.", "The bank!"), ("the River fell",))
"""Two shards with the words: the (3), river (2), rose, fell, bank, "." and "!" (1 each)."""
TOKENIZER = WordPieceConfig(vocabulary_size=60)


def write_documents(folder: pathlib.Path, split: str, shards: Sequence[Sequence[str]]) -> None:
    """Writes texts as TextExampleGen does, in as many shards."""
    (folder / f"Split-{split}").mkdir(parents=True)
    for shard, texts in enumerate(shards):
        name = f"documents-{shard:05d}-of-{len(shards):05d}.tfrecord.gz"
        path = str(folder / f"Split-{split}" / name)
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP")) as writer:
            for number, text in enumerate(texts):
                document = Document(f"{shard}/{number}", text, "a", "en", 0)
                writer.write(*serialize([document]))


def count_in_shards(
    folder: pathlib.Path, shards: Sequence[Sequence[str]], config: VocabularyConfig
) -> dict[str, Any]:
    """Counts the words of training documents; held-out documents have other words."""
    write_documents(folder / "documents", "train", shards)
    write_documents(folder / "documents", "eval", [["unseen unseen unseen unseen"]])
    tokenizer = json.dumps(dataclasses.asdict(TOKENIZER))
    with beam.Pipeline() as pipeline:
        count_words(
            pipeline, [str(folder / "documents")], str(folder / "out"), "bert", tokenizer, config
        )
    return json.loads((folder / "out" / "counts.json").read_text())


def make(
    folder: pathlib.Path,
    documents: pathlib.Path,
    *flags: str,
    base_model: pathlib.Path | None = None,
    tokenizer: WordPieceConfig = TOKENIZER,
    fingerprint: str = "",
    **config: Any,
) -> Vocabulary:
    """Runs VocabularyTrainer."""
    examples, vocabulary = standard_artifacts.Examples(), Vocabulary()
    examples.uri, vocabulary.uri = str(documents), str(folder)
    inputs = {}
    if base_model:
        inputs["base_model"] = standard_artifacts.Model()
        inputs["base_model"].uri = str(base_model)
    VocabularyTrainer.test_call(
        examples=examples,
        vocabulary=vocabulary,
        family="bert",
        tokenizer=json.dumps(dataclasses.asdict(tokenizer)),
        config=json.dumps(dataclasses.asdict(VocabularyConfig(**config))),
        file_fingerprint=fingerprint,
        unkeyed="{}",
        beam_pipeline=beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner", *flags])),
        **inputs,
    )
    return vocabulary


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def words_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "words.json").read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, dict[str, bytes]]:
    """Documents in one shard, and the files that one process learns from them."""
    folder = tmp_path_factory.mktemp("corpus")
    write_documents(folder, "train", [[little_bert.text(number) for number in range(40)]])
    make(folder / "vocabulary", folder)
    return folder, contents(folder / "vocabulary")


@pytest.fixture
def base_model(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of a Model artifact whose tokenizer has 30 entries."""
    assets = tmp_path / "model" / "Format-Serving" / "assets.extra"
    little_bert.tokenizer().save(assets / "tokenizer")
    (assets / "provenance.json").write_text("{}")
    return tmp_path / "model"


def test_every_word_of_the_training_documents_is_counted(tmp_path: pathlib.Path) -> None:
    assert count_in_shards(tmp_path, LITTLE, VocabularyConfig(min_count=1)) == {
        "words": 7,
        "occurrences": 10,
        "learned_words": 7,
        "learned_occurrences": 10,
        "counts": {"the": 3, "river": 2, "rose": 1, "fell": 1, "bank": 1, ".": 1, "!": 1},
    }


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        (VocabularyConfig(min_count=2), [("the", 3), ("river", 2)]),
        (VocabularyConfig(min_count=3), [("the", 3)]),
        (VocabularyConfig(max_words=1), [("the", 3)]),
        # Of words with the same count, the last by code point is taken.
        (VocabularyConfig(min_count=1, max_words=3), [("the", 3), ("river", 2), ("rose", 1)]),
    ],
)
def test_rare_words_are_left_out_and_still_counted_in_the_totals(
    tmp_path: pathlib.Path, config: VocabularyConfig, kept: list[tuple[str, int]]
) -> None:
    totals = count_in_shards(tmp_path, LITTLE, config)
    assert list(totals.pop("counts").items()) == kept
    assert totals == {
        "words": 7,
        "occurrences": 10,
        "learned_words": len(kept),
        "learned_occurrences": sum(number for _, number in kept),
    }


@pytest.mark.parametrize(("batch", "max_words"), [(1, 100), (50, 3), (50, 100), (1_000_000, 100)])
def test_counts_equal_those_of_plain_python_for_any_batch_size(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, batch: int, max_words: int
) -> None:
    monkeypatch.setattr(vocabulary_trainer, "_BATCH_CHARACTERS", batch)
    monkeypatch.setattr(vocabulary_trainer, "_MAX_COUNTED_WORDS", max_words)
    rng = np.random.default_rng(1)
    words = ["the", "The", "RIVER", "bank", "banks", "x1", "O'Hara", "(so)", "well-known", "3.50!"]
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 30))) for _ in range(20)]
    expected = collections.Counter(re.findall(r"\w+|[^\w\s]", " ".join(texts).lower()))
    found = count_in_shards(tmp_path, [texts[:7], texts[7:]], VocabularyConfig(min_count=1))
    assert found["counts"] == expected
    assert found["occurrences"] == expected.total()


def test_fills_an_artifact_that_a_tokenizer_loads(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_documents(tmp_path, "train", LITTLE)
    with caplog.at_level(logging.INFO, "polyseme.vocabulary_trainer"):
        artifact = make(tmp_path / "vocabulary", tmp_path)
    files = sorted(contents(tmp_path / "vocabulary"))
    assert files == ["tokenizer.json", "vocab.txt", "words.json"]
    assert words_of(tmp_path / "vocabulary") == {
        "origin": "learned",
        "words": 7,
        "occurrences": 10,
        "learned_words": 2,
        "learned_occurrences": 5,
    }
    tokenizer = WordPieceTokenizer.load(tmp_path / "vocabulary")
    assert tokenizer.config == TOKENIZER
    assert tokenizer.vocabulary[:5] == list(little_bert.SPECIAL)
    ids = tokenizer.tokenize(tf.constant(["the river"]))
    assert tokenizer.tokens(ids).to_list() == [[b"the", b"river"]]
    assert artifact.size == len(tokenizer.vocabulary)
    info, warning = (r.message for r in caplog.records if r.name.startswith("polyseme"))
    assert info == f"{artifact.size} entries, learned from 2 of 7 words that occur 10 times"
    assert warning.startswith("the vocabulary is learned from 50% of the text: the other")


def test_the_same_bytes_for_any_division_into_shards(
    tmp_path: pathlib.Path, corpus: tuple[pathlib.Path, dict[str, bytes]]
) -> None:
    texts = [little_bert.text(number) for number in reversed(range(40))]
    shards = [texts[:1], texts[1:20], texts[20:26], texts[26:]]
    write_documents(tmp_path / "documents", "train", shards)
    make(tmp_path / "vocabulary", tmp_path / "documents")
    assert contents(tmp_path / "vocabulary") == corpus[1]
    # Other documents give other bytes.
    write_documents(tmp_path / "fewer", "train", shards[:1])
    make(tmp_path / "of-fewer", tmp_path / "fewer", min_count=1)
    assert contents(tmp_path / "of-fewer")["vocab.txt"] != corpus[1]["vocab.txt"]


def test_the_same_bytes_on_threads(
    tmp_path: pathlib.Path, corpus: tuple[pathlib.Path, dict[str, bytes]]
) -> None:
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    make(tmp_path / "vocabulary", corpus[0], *flags)
    assert contents(tmp_path / "vocabulary") == corpus[1]


@pytest.mark.e2e
def test_the_same_bytes_with_two_processes(
    tmp_path: pathlib.Path, corpus: tuple[pathlib.Path, dict[str, bytes]]
) -> None:
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    make(tmp_path / "vocabulary", corpus[0], *flags)
    assert contents(tmp_path / "vocabulary") == corpus[1]


@pytest.mark.parametrize("text", ["Every word once.", "\x01"])
def test_no_word_to_learn_from_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    write_documents(tmp_path, "train", [[text]])
    with pytest.raises(DataRefused) as caught:
        make(tmp_path / "vocabulary", tmp_path)
    assert str(caught.value) == (
        "the vocabulary has no word to learn from\n"
        "  where: vocabulary trainer\n"
        "  to do: provide more text or lower vocabulary.min_count"
    )
    assert contents(tmp_path / "vocabulary") == {}


def test_a_vocabulary_file_decides_every_id(tmp_path: pathlib.Path) -> None:
    entries = ["river", "[MASK]", "##s", "[PAD]", "[SEP]", "[UNK]", "[CLS]", "the"]
    file = tmp_path / "vocabulary.txt"
    file.write_text("\n".join(entries) + "\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    artifact = make(
        tmp_path / "vocabulary", tmp_path / "not read", file=str(file), fingerprint=digest
    )
    assert contents(tmp_path / "vocabulary")["vocab.txt"] == file.read_bytes()
    tokenizer = WordPieceTokenizer.load(tmp_path / "vocabulary")
    assert tokenizer.tokenize(tf.constant(["The rivers rose"])).to_list() == [[7, 0, 2, 5]]
    assert artifact.size == 8
    assert words_of(tmp_path / "vocabulary") == {"origin": "file", "sha256": digest}


def test_a_vocabulary_file_without_a_special_token_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "vocabulary.txt"
    file.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n")
    with pytest.raises(ConfigError) as caught:
        make(tmp_path / "vocabulary", tmp_path / "not read", file=str(file))
    assert str(caught.value) == (
        "the vocabulary lacks [MASK]\n"
        f"  where: {file} (5 lines)\n"
        "  to do: add a line for each; the number of the line is its id"
    )


def test_the_same_vocabulary_has_the_same_key_whatever_its_origin(
    tmp_path: pathlib.Path, base_model: pathlib.Path
) -> None:
    config, file = little_bert.CONFIG.tokenizer, next(base_model.rglob("vocab.txt"))
    of_model = make(tmp_path / "a", tmp_path / "none", base_model=base_model, tokenizer=config)
    of_file = make(tmp_path / "b", tmp_path / "none", file=str(file), tokenizer=config)
    assert words_of(tmp_path / "a") != words_of(tmp_path / "b")
    key = of_model.get_string_custom_property("content")
    assert key == of_file.get_string_custom_property("content") != ""


def test_words_of_older_spans_are_counted_too(tmp_path: pathlib.Path) -> None:
    write_documents(tmp_path / "new", "train", [["the river"]])
    write_documents(tmp_path / "old", "train", [["the bank"]])
    write_documents(tmp_path / "old", "test", [["unseen"]])
    folders, config = [str(tmp_path / "new"), str(tmp_path / "old")], VocabularyConfig(min_count=1)
    tokenizer = json.dumps(dataclasses.asdict(TOKENIZER))
    with beam.Pipeline() as pipeline:
        count_words(pipeline, folders, str(tmp_path), "bert", tokenizer, config)
    found = json.loads((tmp_path / "counts.json").read_text())["counts"]
    assert found == {"the": 2, "river": 1, "bank": 1}


def test_the_base_models_tokenizer_is_taken_as_it_is(
    tmp_path: pathlib.Path, base_model: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "polyseme.vocabulary_trainer"):
        artifact = make(
            tmp_path / "vocabulary",
            tmp_path / "not read",
            base_model=base_model,
            tokenizer=little_bert.CONFIG.tokenizer,
        )
    found = contents(tmp_path / "vocabulary")
    words = json.loads(found.pop("words.json"))
    assert found == contents(base_model / "Format-Serving" / "assets.extra" / "tokenizer")
    assert words == {"origin": "base model"}
    assert artifact.size == 30
    assert caplog.messages == [f"30 entries, taken from the base model {base_model}"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("lowercase", False, "lowercase is False; the model that training starts from has True,"),
        ("vocabulary_size", 31, "vocabulary_size is 31; the model that training starts from has "),
        ("max_word_bytes", 50, "max_word_bytes is 50; the model that training starts from has 100"),
    ],
)
def test_another_tokenizer_than_the_base_models_is_refused_by_field(
    tmp_path: pathlib.Path, base_model: pathlib.Path, field: str, value: Any, message: str
) -> None:
    config = dataclasses.replace(little_bert.CONFIG.tokenizer, **{field: value})
    with pytest.raises(ConfigError) as caught:
        make(tmp_path / "v", tmp_path / "not read", base_model=base_model, tokenizer=config)
    assert caught.value.what.startswith(message)
    assert caught.value.where == f"model.tokenizer.{field}"
    assert caught.value.remedy == (
        "Keep the blessed model's settings, or start from scratch under another --name."
    )


def test_a_vocabulary_file_must_equal_the_base_models_vocabulary(
    tmp_path: pathlib.Path, base_model: pathlib.Path
) -> None:
    file = tmp_path / "vocabulary.txt"
    options = {
        "base_model": base_model,
        "tokenizer": little_bert.CONFIG.tokenizer,
        "file": str(file),
    }
    entries = [*little_bert.SPECIAL, *little_bert.WORDS]
    file.write_text("\n".join(entries))
    make(tmp_path / "v", tmp_path / "not read", **options)
    assert words_of(tmp_path / "v")["origin"] == "base model"
    file.write_text("\n".join([*entries[:-2], entries[-1], entries[-2]]))  # swaps two ids
    with pytest.raises(ConfigError) as caught:
        make(tmp_path / "w", tmp_path / "not read", **options)
    assert str(caught.value) == (
        "The vocabulary file differs from the vocabulary of the model that training starts from.\n"
        f"  where: vocabulary.file: {file}\n"
        "  to do: Keep the blessed model's settings, or start from scratch under another --name."
    )
