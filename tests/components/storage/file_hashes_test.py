"""Hashes of files, remembered as long as nothing about a file changed."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest

from components.storage import file_hashes
from components.storage.file_hashes import FileHashes

OLD = 1_600_000_000


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read; and files that are new count as settled."""
    seen: list[str] = []
    true = file_hashes.sha256

    def recorded(path: str) -> str:
        seen.append(os.path.basename(path))
        return true(path)

    monkeypatch.setattr(file_hashes, "sha256", recorded)
    monkeypatch.setattr(file_hashes, "_SETTLED_NANOSECONDS", -1)
    return seen


def test_a_file_that_did_not_change_is_read_once(tmp_path: pathlib.Path, reads: list[str]) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("one")
    b.write_text("two")
    told: list[int] = []
    memory = tmp_path / "memory.json"
    assert FileHashes(memory).of([str(a), str(b)], told.append) == [sha("one"), sha("two")]
    assert FileHashes(memory).of([str(b), str(a)], told.append) == [sha("two"), sha("one")]
    assert reads == ["a.txt", "b.txt"]
    assert told == [3, 3, 3, 3]
    assert FileHashes().of([str(a)]) == [sha("one")]  # without a memory it is read
    assert reads == ["a.txt", "b.txt", "a.txt"]


def test_a_change_is_seen_even_if_size_and_time_are_set_back(
    tmp_path: pathlib.Path, reads: list[str]
) -> None:
    a, memory = tmp_path / "a.txt", tmp_path / "memory.json"
    a.write_text("one")
    os.utime(a, (OLD, OLD))
    assert FileHashes(memory).of([str(a)]) == [sha("one")]
    a.write_text("two")
    os.utime(a, (OLD, OLD))  # the inode's own time of change cannot be set
    assert FileHashes(memory).of([str(a)]) == [sha("two")]


def test_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: pathlib.Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_SETTLED_NANOSECONDS", 3_600 * 10**9)
    a, memory = tmp_path / "a.txt", tmp_path / "memory.json"
    a.write_text("one")
    FileHashes(memory).of([str(a)])
    FileHashes(memory).of([str(a)])
    assert reads == ["a.txt", "a.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 3}', '{"x": null}', "\xff"])
def test_a_damaged_memory_is_written_anew(
    tmp_path: pathlib.Path, reads: list[str], content: str
) -> None:
    a, memory = tmp_path / "a.txt", tmp_path / "memory.json"
    a.write_text("one")
    memory.write_bytes(content.encode("latin-1"))
    assert FileHashes(memory).of([str(a)]) == [sha("one")]
    assert FileHashes(memory).of([str(a)]) == [sha("one")]
    assert reads == ["a.txt"]


def test_of_many_files_the_last_ones_are_remembered(
    tmp_path: pathlib.Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_MOST", 2)
    files = []
    for name in "abc":
        (tmp_path / name).write_text(name)
        files.append(str(tmp_path / name))
    memory = tmp_path / "memory.json"
    FileHashes(memory).of(files)
    FileHashes(memory).of([files[2], files[0]])
    assert reads == ["a", "b", "c", "a"]


def test_a_name_that_is_not_utf_8(tmp_path: pathlib.Path, reads: list[str]) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    with open(path, "w") as stream:
        stream.write("one")
    memory = tmp_path / "memory.json"
    assert [FileHashes(memory).of([path]) for _ in range(2)] == [[sha("one")]] * 2
    assert len(reads) == 1
