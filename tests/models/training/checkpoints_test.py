"""Tests of checkpoint files: damage, kills, and the order in which they are written."""

import logging
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from models.training.checkpoints import Checkpoints


class Counter:
    """A run that counts its steps, in a number and in a variable."""

    def __init__(self, folder: pathlib.Path, keep: int = 2) -> None:
        self.step = tf.Variable(0, dtype=tf.int64)
        self.weights = tf.Variable(tf.zeros([1_000]))
        self.checkpoints = Checkpoints(folder, self.step, keep, [self.step, self.weights])

    def count(self, steps: int) -> None:
        for _ in range(steps):
            self.step.assign_add(1)
            self.weights.assign_add(tf.ones_like(self.weights))
            self.checkpoints.save()
        self.checkpoints.close()

    def state(self) -> tuple[int, list[float]]:
        return int(self.step), sorted(set(self.weights.numpy().tolist()))


def restored(folder: pathlib.Path) -> Counter:
    counter = Counter(folder)
    counter.checkpoints.restore()
    return counter


def file_names(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files(*numbers: int) -> set[str]:
    endings = ("index", "data-00000-of-00001")
    return {f"ckpt-{number}.{ending}" for number in numbers for ending in endings}


def test_without_a_checkpoint_nothing_is_restored(tmp_path: pathlib.Path) -> None:
    assert restored(tmp_path).state() == (0, [0.0])


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_changes_during_the_write_are_not_in_the_checkpoint(
    tmp_path: pathlib.Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(tmp_path)
    write, changed = counter.checkpoints._write, threading.Event()

    def late(*args: Any) -> None:
        assert changed.wait(60)
        write(*args)

    monkeypatch.setattr(counter.checkpoints, "_write", late)

    def change() -> None:
        counter.weights.assign_add(tf.ones_like(counter.weights))
        counter.weights.assign(counter.weights * 3.0)

    changing = change if how == "eager" else tf.function(change, jit_compile=how == "xla")
    changing()
    counter.step.assign_add(1)
    counter.checkpoints.save()
    changing()
    changed.set()
    counter.checkpoints.close()
    assert counter.state() == (1, [12.0])
    assert restored(tmp_path).state() == (1, [3.0])


def test_the_next_save_reports_that_a_write_failed(tmp_path: pathlib.Path) -> None:
    counter = Counter(tmp_path)
    counter.checkpoints.folder = tmp_path / "file"
    counter.checkpoints.folder.write_bytes(b"")
    counter.checkpoints.save()
    with pytest.raises(FileExistsError):
        counter.checkpoints.save()


def test_older_checkpoints_than_keep_are_removed(tmp_path: pathlib.Path) -> None:
    Counter(tmp_path, keep=1).count(5)
    assert files(5) <= file_names(tmp_path) <= files(4, 5)


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1  # of an index, a byte that is used
    path.write_bytes(content)


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", [cut, empty, flip, pathlib.Path.unlink])
def test_a_damaged_checkpoint_is_logged_and_the_previous_one_is_restored(
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    ending: str,
    damage: Callable[[pathlib.Path], None],
) -> None:
    Counter(tmp_path).count(3)
    damage(tmp_path / f"ckpt-3.{ending}")
    with caplog.at_level(logging.INFO, logger="polyseme.training"):
        counter = restored(tmp_path)
    assert counter.state() == (2, [2.0])
    warnings = [record.message for record in caplog.records if record.name == "polyseme.training"]
    if (damage, ending) == (pathlib.Path.unlink, "index"):  # then there is no checkpoint
        assert not warnings
    else:
        (line,) = warnings
        assert line.startswith("the checkpoint of step 3 is damaged and is not used: ")
    counter.count(2)
    assert restored(tmp_path).state() == (4, [4.0])


def test_no_damaged_byte_of_an_index_restores_a_wrong_value(
    tmp_path: pathlib.Path,
) -> None:
    Counter(tmp_path).count(1)
    index = tmp_path / "ckpt-1.index"
    whole = index.read_bytes()
    counter = Counter(tmp_path)
    restored_count = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        index.write_bytes(damaged)
        if counter.checkpoints.restore_step(1):  # the byte is not used
            restored_count += 1
            assert counter.state() == (1, [1.0])
            counter.weights.assign(tf.zeros([1_000]))
            counter.step.assign(0)
        assert counter.state() == (0, [0.0])
    assert 0 < restored_count < len(whole) / 2


def test_a_checkpoint_without_permission_is_not_treated_as_damaged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counter(tmp_path).count(2)

    def refuse(path: pathlib.Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as refusing:
        refusing.setattr(pathlib.Path, "open", refuse)
        with pytest.raises(PermissionError):
            restored(tmp_path)
    assert restored(tmp_path).state() == (2, [2.0])


def test_a_checkpoint_is_written_after_the_checkpoint_it_refers_to(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, best = Counter(tmp_path / "run"), Counter(tmp_path / "best")
    write, allowed = best.checkpoints._write, threading.Event()

    def late(*args: Any) -> None:
        assert allowed.wait(60)
        write(*args)

    monkeypatch.setattr(best.checkpoints, "_write", late)
    best.step.assign(7)
    best.checkpoints.save()
    counter.step.assign(9)
    counter.checkpoints.save(after=best.checkpoints)
    time.sleep(0.1)
    assert not list(tmp_path.glob("*/ckpt-*"))
    allowed.set()
    counter.checkpoints.close()
    assert file_names(tmp_path / "best") == files(7)
    assert file_names(tmp_path / "run") == files(9)


def test_a_checkpoint_is_not_written_if_the_one_it_refers_to_failed(tmp_path: pathlib.Path) -> None:
    counter, best = Counter(tmp_path / "run"), Counter(tmp_path / "best")
    (tmp_path / "best").write_bytes(b"a file")
    best.checkpoints.save()
    counter.checkpoints.save(after=best.checkpoints)
    with pytest.raises(FileExistsError):
        counter.checkpoints.close()
    assert not (tmp_path / "run").exists()


def test_later_checkpoints_do_not_cause_the_removal_of_the_current_one(
    tmp_path: pathlib.Path,
) -> None:
    Counter(tmp_path, keep=1).count(5)
    Counter(tmp_path, keep=1).count(2)
    assert files(2) <= file_names(tmp_path)


def test_keep_only_removes_all_other_checkpoints(tmp_path: pathlib.Path) -> None:
    counter = Counter(tmp_path, keep=5)
    counter.count(3)
    (tmp_path / "ckpt-4.data-00000-of-00001").write_bytes(b"without its index")
    counter.checkpoints.keep_only([2])
    assert file_names(tmp_path) == files(2)


def test_if_all_checkpoints_are_damaged_nothing_is_restored(tmp_path: pathlib.Path) -> None:
    Counter(tmp_path).count(2)
    for path in tmp_path.glob("*.data*"):
        flip(path)
    assert restored(tmp_path).state() == (0, [0.0])
    assert file_names(tmp_path) == {f"damaged-{name}" for name in files(1, 2)}


def test_files_of_a_killed_process_are_removed(tmp_path: pathlib.Path) -> None:
    Counter(tmp_path).count(1)
    (tmp_path / "ckpt-2.data-00000-of-00001").write_bytes(b"without its index")
    (tmp_path / "ckpt-3.data-00000-of-00001.tempstate12345").write_bytes(b"half")
    assert restored(tmp_path).state() == (1, [1.0])
    assert file_names(tmp_path) == files(1)
