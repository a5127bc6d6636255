"""The fingerprint of a run: what changes it and what does not."""

import dataclasses
import hashlib
import json
import pathlib

import pytest

from models.errors import ConfigError
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from pipeline.code_versions import STEPS, TRAINING
from pipeline.provenance import Provenance, code_of_weights, files_fingerprint

GIVEN = Provenance(
    name="mine",
    recipe="bert_tiny",
    span=3,
    label="3",
    pattern="a-{SPAN}.jsonl",
    corpus="c0ffee",
    config="c0f1",
    evaluation="e7a1",
    vocabulary="",
    code="c0de",
    start="auto",
    window=1,
    commit="1a2b3c4",
)


def test_the_fingerprint_depends_on_text_span_configuration_vocabulary_and_code() -> None:
    assert len(GIVEN.fingerprint) == 64
    for field, value in [
        ("span", 4),
        ("corpus", "decaf"),
        ("config", "c0f2"),
        ("evaluation", ""),
        ("vocabulary", "70ca"),
        ("code", "c0df"),
        ("start", "scratch"),
    ]:
        assert dataclasses.replace(GIVEN, **{field: value}).fingerprint != GIVEN.fingerprint
    for field in ("name", "recipe", "label", "pattern", "commit"):
        assert dataclasses.replace(GIVEN, **{field: "x"}).fingerprint == GIVEN.fingerprint


def test_json_holds_the_fingerprint_too() -> None:
    fields = json.loads(GIVEN.to_json())
    assert fields["fingerprint"] == GIVEN.fingerprint
    assert fields["span"] == 3


def test_the_weights_code_is_that_of_the_steps_they_come_from() -> None:
    versions = {step: step for step in (*STEPS, TRAINING)}
    assert len(code_of_weights(versions)) == 64
    for step in versions:
        other = code_of_weights(versions | {step: "other"})
        assert (other != code_of_weights(versions)) == (
            step
            in ("TextExampleGen", "TextCleaner", "VocabularyTrainer", "ExampleBuilder", "Trainer")
        )


def test_a_vocabulary_file_is_its_bytes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"[PAD]\n")
    (tmp_path / "b.txt").write_bytes(b"[PAD]\n")
    (tmp_path / "c.txt").write_bytes(b"[UNK]\n")
    a, b, c, d = (tmp_path / f"{name}.txt" for name in "abcd")
    assert files_fingerprint([a]) == files_fingerprint([b]) != files_fingerprint([c])
    assert files_fingerprint([a, c]) not in (files_fingerprint([a, b]), files_fingerprint([c, a]))
    assert files_fingerprint([a]) == hashlib.sha256(b"[PAD]\n").hexdigest()
    assert files_fingerprint([]) == ""
    with pytest.raises(ConfigError, match="cannot be read") as error:
        files_fingerprint([a, d])
    assert error.value.where == str(d)


def test_a_vocabulary_of_two_files_is_both(tmp_path: pathlib.Path) -> None:
    both = (tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    for given in (both[0], tmp_path):
        assert ByteBpeConfig().vocabulary_files(given) == both
    assert WordPieceConfig().vocabulary_files(both[0]) == both[:1]
    assert CharacterConfig().vocabulary_files(both[0]) == both[:1]
