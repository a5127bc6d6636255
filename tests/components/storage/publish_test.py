"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from components.storage.publish import link_whole, write_whole


def test_writing_replaces_what_was_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    write_whole(str(path), ["né\n", "\udcff"])
    assert path.read_bytes() == "né\n\\udcff".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_dies_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def lines() -> Iterator[str]:
        yield "new"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as told:
        write_whole(str(path), lines())
    assert told.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_files_place_is_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(IsADirectoryError) as told:
        write_whole(str(path), ["new"])
    assert (told.value.filename, told.value.filename2) == (str(path), None)
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_that_dies_leaves_nothing_beside_the_target(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str) -> None:
        raise OSError("Operation not supported")

    def copy(source: str, target: str) -> None:
        pathlib.Path(target).write_text("ha")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(shutil, "copyfile", copy)
    for name in ("there", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "a").write_text("half")
    with pytest.raises(KeyboardInterrupt):
        link_whole(str(tmp_path / "a"), str(tmp_path / "there" / "b"), str(tmp_path / "scratch"))
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("same_file_system", [True, False])
def test_a_second_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, same_file_system: bool
) -> None:
    def link(source: str, target: str) -> None:
        raise OSError("Invalid cross-device link")

    if not same_file_system:
        monkeypatch.setattr(os, "link", link)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old")
    for _ in range(2):
        link_whole(str(source), str(target), str(tmp_path))
        assert target.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [source, target]
    assert source.samefile(target) is same_file_system
