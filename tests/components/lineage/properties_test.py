"""Tests of the fingerprints of artifacts' files."""

from __future__ import annotations

import pathlib

import pytest
from tfx.types.standard_artifacts import Examples

from components.lineage.properties import CONTENT, fingerprint, set_content


def write(folder: pathlib.Path, **files: str) -> pathlib.Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_same_files_elsewhere_have_the_same_fingerprint(tmp_path: pathlib.Path) -> None:
    one = write(tmp_path / "1", a="x", b__c="y", d="not read")
    two = write(tmp_path / "2", d="another", b__c="y", a="x")
    assert fingerprint(one, ["a", "b"]) == fingerprint(two, ["a", "b"])
    assert len(fingerprint(one, ["a"])) == 64


@pytest.mark.parametrize("files", [{"a": "y"}, {"b__c": "z"}, {"b__e": ""}])
def test_other_bytes_or_names_change_the_fingerprint(
    tmp_path: pathlib.Path, files: dict[str, str]
) -> None:
    folder = write(tmp_path, a="x", b__c="y")
    before = fingerprint(folder, ["a", "b"])
    assert fingerprint(write(folder, **files), ["a", "b"]) != before


def test_a_missing_file_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="gone"):
        fingerprint(tmp_path, ["gone"])


def test_set_content_records_the_fingerprint(tmp_path: pathlib.Path) -> None:
    artifact = Examples()
    artifact.uri = str(write(tmp_path, a="x"))
    set_content(artifact, ["a"])
    assert artifact.get_string_custom_property(CONTENT) == fingerprint(tmp_path, ["a"])
