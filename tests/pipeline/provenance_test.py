"""What makes a run another run."""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import re
import subprocess

import pytest

from models.errors import ConfigError
from models.tokenizers.config import ByteBpeConfig, CharacterConfig, WordPieceConfig
from pipeline.provenance import Provenance, code_version, files_fingerprint

GIVEN = Provenance(
    "mine", "bert_tiny", 3, "3", "a-{SPAN}.jsonl", "c0ffee", "c0f1", "e7a1", "", "git 123"
)


def test_the_fingerprint_depends_on_text_span_configuration_vocabulary_and_code() -> None:
    assert len(GIVEN.fingerprint) == 64
    for field, value in [
        ("span", 4),
        ("corpus", "decaf"),
        ("config", "c0f2"),
        ("evaluation", ""),
        ("vocabulary", "70ca"),
        ("code", "git 124"),
    ]:
        assert dataclasses.replace(GIVEN, **{field: value}).fingerprint != GIVEN.fingerprint
    for field in ("name", "recipe", "label", "pattern"):
        assert dataclasses.replace(GIVEN, **{field: "x"}).fingerprint == GIVEN.fingerprint


def test_json_holds_the_fingerprint_too() -> None:
    fields = json.loads(GIVEN.to_json())
    assert fields["fingerprint"] == GIVEN.fingerprint
    assert fields["span"] == 3


def git(folder: pathlib.Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    for floor in ("models", "components", "docs"):
        (tmp_path / floor).mkdir()
        (tmp_path / floor / "a.py").write_text("A = 1\n")
    return tmp_path


def test_without_git_the_code_is_its_source(source: pathlib.Path) -> None:
    before = code_version(source)
    assert before.startswith("source ")
    (source / "docs/a.py").write_text("A = 2\n")
    assert code_version(source) == before
    (source / "models/a.py").write_text("A = 2\n")
    assert code_version(source) != before


@pytest.mark.parametrize("library", ["tensorflow", "keras", "keras-hub", "tensorflow-text"])
def test_with_another_version_of_what_computes_it_is_other_code(
    source: pathlib.Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    installed = importlib.metadata.version
    before = code_version(source)
    assert f", {library} {installed(library)}" in before

    def version(name: str) -> str:
        return "9.9.9" if name == library else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert code_version(source) == before.replace(
        f", {library} {installed(library)}", f", {library} 9.9.9"
    )


def test_with_git_the_code_is_the_last_commit_that_touched_it(source: pathlib.Path) -> None:
    git(source, "init", "-q")
    git(source, "add", ".")
    git(source, "commit", "-q", "-m", "first")
    before = code_version(source)
    assert re.match("git [0-9a-f]{40}, tensorflow ", before)
    (source / "docs/a.py").write_text("A = 2\n")
    git(source, "commit", "-q", "-a", "-m", "a page")
    assert code_version(source) == before
    (source / "components/a.py").write_text("A = 2\n")
    assert code_version(source).startswith("source ")
    git(source, "commit", "-q", "-a", "-m", "code")
    after = code_version(source)
    assert after.startswith("git ")
    assert after != before


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
