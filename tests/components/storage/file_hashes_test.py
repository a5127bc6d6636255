"""Tests of the cache of file hashes."""

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
    """Names of the files that were read. A file is cached even if it has just changed."""
    names: list[str] = []
    original = file_hashes.sha256

    def recorded(path: str) -> str:
        names.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(file_hashes, "sha256", recorded)
    monkeypatch.setattr(file_hashes, "_SETTLED_NANOSECONDS", -1)
    return names


def test_a_file_that_did_not_change_is_read_once(tmp_path: pathlib.Path, reads: list[str]) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("one")
    b.write_text("two")
    sizes: list[int] = []
    cache = tmp_path / "cache.json"
    assert FileHashes(cache).hash_files([str(a), str(b)], sizes.append) == [sha("one"), sha("two")]
    assert FileHashes(cache).hash_files([str(b), str(a)], sizes.append) == [sha("two"), sha("one")]
    assert reads == ["a.txt", "b.txt"]
    assert sizes == [3, 3, 3, 3]
    assert FileHashes().hash_files([str(a)]) == [sha("one")]  # without a cache every file is read
    assert reads == ["a.txt", "b.txt", "a.txt"]


def test_a_change_is_detected_even_if_size_and_time_are_set_back(
    tmp_path: pathlib.Path, reads: list[str]
) -> None:
    a, cache = tmp_path / "a.txt", tmp_path / "cache.json"
    a.write_text("one")
    os.utime(a, (OLD, OLD))
    assert FileHashes(cache).hash_files([str(a)]) == [sha("one")]
    a.write_text("two")
    os.utime(a, (OLD, OLD))  # this cannot set the inode's time of change
    assert FileHashes(cache).hash_files([str(a)]) == [sha("two")]


def test_a_file_that_has_just_changed_is_not_cached(
    tmp_path: pathlib.Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_SETTLED_NANOSECONDS", 3_600 * 10**9)
    a, cache = tmp_path / "a.txt", tmp_path / "cache.json"
    a.write_text("one")
    FileHashes(cache).hash_files([str(a)])
    FileHashes(cache).hash_files([str(a)])
    assert reads == ["a.txt", "a.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 3}', '{"x": null}', "\xff"])
def test_a_damaged_cache_is_replaced(
    tmp_path: pathlib.Path, reads: list[str], content: str
) -> None:
    a, cache = tmp_path / "a.txt", tmp_path / "cache.json"
    a.write_text("one")
    cache.write_bytes(content.encode("latin-1"))
    assert FileHashes(cache).hash_files([str(a)]) == [sha("one")]
    assert FileHashes(cache).hash_files([str(a)]) == [sha("one")]
    assert reads == ["a.txt"]


def test_the_cache_keeps_the_latest_files(
    tmp_path: pathlib.Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_MAX_CACHED", 2)
    files = []
    for name in "abc":
        (tmp_path / name).write_text(name)
        files.append(str(tmp_path / name))
    cache = tmp_path / "cache.json"
    FileHashes(cache).hash_files(files)
    FileHashes(cache).hash_files([files[2], files[0]])
    assert reads == ["a", "b", "c", "a"]


def test_a_name_that_is_not_utf_8(tmp_path: pathlib.Path, reads: list[str]) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    with open(path, "w") as stream:
        stream.write("one")
    cache = tmp_path / "cache.json"
    assert [FileHashes(cache).hash_files([path]) for _ in range(2)] == [[sha("one")]] * 2
    assert len(reads) == 1
