"""Tests of finished work: it is reused if complete, and made again if a part is missing."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from components.storage.finished import finish, sha256


class Maker:
    """Writes "made" and "other" to two files, and counts its calls."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, *paths: str) -> dict[str, Any]:
        self.times += 1
        for path, word in zip(paths, ("made", "other"), strict=True):
            pathlib.Path(path).write_text(word)
        return {"lines": 1}


SUMMARY = {
    "lines": 1,
    "sha256": [hashlib.sha256(b"made").hexdigest(), hashlib.sha256(b"other").hexdigest()],
}


def finish_two(folder: pathlib.Path, fingerprint: str, make: Callable[..., Any]) -> Any:
    """Finishes the files `target` and `other` in `folder`."""
    targets = [str(folder / "target"), str(folder / "other")]
    return finish(str(folder), fingerprint, targets, make, str(folder))


def test_finished_files_are_not_made_again(tmp_path: pathlib.Path) -> None:
    make, target = Maker(), tmp_path / "target"
    assert finish_two(tmp_path, "c0ffee", make) == (SUMMARY, False)
    target.unlink()
    assert finish_two(tmp_path, "c0ffee", make) == (SUMMARY, True)
    assert (target.read_text(), make.times) == ("made", 1)
    assert (tmp_path / "other").read_text() == "other"
    assert finish_two(tmp_path, "feed", make) == (SUMMARY, False)
    assert make.times == 2


@pytest.mark.parametrize(
    "what", ["damaged", "file lost", "other lost", "summary cut off", "summary lost"]
)
def test_incomplete_or_damaged_files_are_made_again(tmp_path: pathlib.Path, what: str) -> None:
    make, target = Maker(), tmp_path / "target"
    finish_two(tmp_path, "c0ffee", make)
    finished, summary = tmp_path / "c0ffee.0", tmp_path / "c0ffee.json"
    target.unlink()
    if what == "damaged":
        finished.write_text("mad")
    elif what == "file lost":
        finished.unlink()
    elif what == "other lost":
        (tmp_path / "c0ffee.1").unlink()
    elif what == "summary cut off":
        summary.write_text(summary.read_text()[:-1])
    else:
        summary.unlink()
    assert finish_two(tmp_path, "c0ffee", make) == (SUMMARY, False)
    assert (target.read_text(), make.times) == ("made", 2)


def test_nothing_is_finished_if_making_fails(tmp_path: pathlib.Path) -> None:
    def fail(*paths: str) -> dict[str, Any]:
        pathlib.Path(paths[0]).write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        finish_two(tmp_path, "c0ffee", fail)
    assert finish_two(tmp_path, "c0ffee", Maker()) == (SUMMARY, False)


def test_sha256(tmp_path: pathlib.Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # The standard's example.
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
