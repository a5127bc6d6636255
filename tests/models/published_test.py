"""Tests of the atomic file writer."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from models.published import published


@pytest.mark.parametrize("durable", [False, True])
def test_the_file_appears_at_the_end_of_the_block(tmp_path: pathlib.Path, durable: bool) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with published(path, durable=durable) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with published(path) as partial:
            partial.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_is_in_the_scratch_folder(tmp_path: pathlib.Path) -> None:
    for name in ("scratch", "target"):
        (tmp_path / name).mkdir()
    with published(tmp_path / "target" / "a", scratch=tmp_path / "scratch") as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path / "scratch"
        assert list((tmp_path / "target").iterdir()) == []
    assert list((tmp_path / "scratch").iterdir()) == []
    assert (tmp_path / "target" / "a").read_text() == "new"


def test_two_writers_of_one_file_do_not_conflict(tmp_path: pathlib.Path) -> None:
    with published(tmp_path / "a") as first, published(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # the outer block ends last


def test_errors_name_the_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="No space left") as full, published(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as no_folder, published(tmp_path / "b" / "a") as partial:
        partial.write_text("new")
    assert (no_folder.value.filename, no_folder.value.filename2) == (str(tmp_path / "b/a"), None)


def test_errors_about_other_files_keep_their_names(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError) as other, published(tmp_path / "a"):
        os.stat(str(tmp_path / "source"))
    assert other.value.filename == str(tmp_path / "source")
