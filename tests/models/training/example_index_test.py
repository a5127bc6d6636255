"""Tests of the index of example files: what was written is read, and a missing one is refused."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from models.errors import ConfigError
from models.training.example_index import read_index, write_index

LENGTHS = {"c.gz": np.array([5]), "a.gz": np.array([3, 1]), "b.gz": np.zeros(0, np.int64)}


def test_a_written_index_is_read_back(tmp_path: pathlib.Path) -> None:
    write_index(tmp_path / "Split-train", LENGTHS)
    paths = [str(tmp_path / "Split-train" / name) for name in ("c.gz", "a.gz", "b.gz")]
    index = read_index(paths)
    assert index.files == sorted(paths)
    assert index.counts.tolist() == [2, 0, 1]
    assert index.begins.tolist() == [0, 2, 2]
    assert index.lengths.tolist() == [3, 1, 5]
    some = read_index(paths[:1])
    assert (some.counts.tolist(), some.begins.tolist()) == ([1], [2])


def test_the_bytes_do_not_depend_on_the_order_of_files(tmp_path: pathlib.Path) -> None:
    for folder, order in (("a", [*LENGTHS]), ("b", sorted(LENGTHS))):
        write_index(tmp_path / folder / "split", {name: LENGTHS[name] for name in order})
    for name in ("counts.json", "lengths.npy"):
        first, second = (tmp_path / folder / "index/split" / name for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_files_without_an_index_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="the index of the examples cannot be read") as caught:
        read_index([str(tmp_path / "split" / "a.gz")])
    assert caught.value.where == str(tmp_path / "index" / "split")
    write_index(tmp_path / "split", LENGTHS)
    with pytest.raises(ConfigError, match=r"has no file d\.gz"):
        read_index([str(tmp_path / "split" / name) for name in ("a.gz", "d.gz")])
