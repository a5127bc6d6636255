"""The fingerprint of a run: what changes it and what does not."""

import dataclasses
import hashlib
import json
import pathlib

import pytest

from models.errors import ConfigError
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from pipeline.code_versions import STEPS, TRAINING
from pipeline.provenance import code_of_weights, files_fingerprint
from tests.pipeline.provenance import PROVENANCE


def test_the_fingerprint_depends_on_all_that_determines_the_weights() -> None:
    assert len(PROVENANCE.fingerprint) == 64
    for field, value in [
        ("span", 4),
        ("corpus", "decaf"),
        ("config", "c0f2"),
        ("evaluation", ""),
        ("vocabulary", "70ca"),
        ("code", "c0df"),
        ("start", "scratch"),
    ]:
        assert (
            dataclasses.replace(PROVENANCE, **{field: value}).fingerprint != PROVENANCE.fingerprint
        )
    for field in ("name", "recipe", "label", "pattern", "commit"):
        assert dataclasses.replace(PROVENANCE, **{field: "x"}).fingerprint == PROVENANCE.fingerprint


def test_json_contains_the_fingerprint() -> None:
    fields = json.loads(PROVENANCE.to_json())
    assert fields["fingerprint"] == PROVENANCE.fingerprint
    assert fields["span"] == 3


def test_code_of_weights_covers_the_steps_that_determine_the_weights() -> None:
    versions = {step: step for step in (*STEPS, TRAINING)}
    assert len(code_of_weights(versions)) == 64
    for step in versions:
        other = code_of_weights(versions | {step: "other"})
        assert (other != code_of_weights(versions)) == (
            step
            in ("TextExampleGen", "TextCleaner", "VocabularyTrainer", "ExampleBuilder", "Trainer")
        )


def test_the_fingerprint_of_a_vocabulary_is_of_its_bytes(tmp_path: pathlib.Path) -> None:
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


def test_a_byte_bpe_vocabulary_has_two_files(tmp_path: pathlib.Path) -> None:
    both = (tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    for path in (both[0], tmp_path):
        assert ByteBpeConfig().vocabulary_files(path) == both
    assert WordPieceConfig().vocabulary_files(both[0]) == both[:1]
    assert CharacterConfig().vocabulary_files(both[0]) == both[:1]
