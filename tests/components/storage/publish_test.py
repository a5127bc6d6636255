"""Tests of the atomic writers of text files, links and folders."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

import pytest

from components.storage.publish import link_whole, published_folder, write_whole


def test_writing_replaces_an_older_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    write_whole(path, ["né\n", "\udcff"])
    assert path.read_bytes() == "né\n\\udcff".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def lines() -> Iterator[str]:
        yield "new"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as error:
        write_whole(path, lines())
    assert error.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_names_the_path_if_it_is_a_folder(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_whole(path, ["new"])
    assert (error.value.filename, error.value.filename2) == (str(path), None)
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_copy_leaves_nothing_next_to_the_target(
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
        link_whole(tmp_path / "a", tmp_path / "there" / "b", tmp_path / "scratch")
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("same_file_system", [True, False])
def test_linking_replaces_an_older_file(
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
        link_whole(source, target, tmp_path)
        assert target.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [source, target]
    assert source.samefile(target) is same_file_system


def test_a_folder_appears_at_the_end_of_the_block(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "models" / "3"
    for content in ("old", "new"):
        with published_folder(folder) as partial:
            (partial / content).write_text(content)
            assert content not in [file.name for file in folder.glob("*")]
        assert [file.name for file in folder.iterdir()] == [content]
        assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_kept_if_its_replacement_fails(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "3"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), published_folder(folder):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [folder]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: pathlib.Path) -> None:
    leftover = tmp_path / ".3.partial"
    leftover.mkdir()
    (leftover / "old").write_text("half")
    with published_folder(tmp_path / "3") as partial:
        assert partial == leftover
        (partial / "new").write_text("whole")
    assert [file.name for file in (tmp_path / "3").iterdir()] == ["new"]
