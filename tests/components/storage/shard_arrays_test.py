"""Tests of the integer arrays of a shard."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from components.storage.shard_arrays import read_arrays, write_arrays


@pytest.mark.parametrize(
    "arrays",
    [{"a": [1, 2**62], "none": [], "b": [3]}, {"none": []}, {}],
    ids=["some", "empty", "none"],
)
def test_arrays_are_read_as_they_were_written(
    tmp_path: pathlib.Path, arrays: dict[str, list[int]]
) -> None:
    sizes = write_arrays(
        tmp_path / "file", {name: np.array(values, np.int64) for name, values in arrays.items()}
    )
    assert sizes == {name: len(values) for name, values in arrays.items()}
    read = read_arrays(tmp_path / "file", sizes)
    assert {name: array.tolist() for name, array in read.items()} == arrays


def test_narrower_integers_are_widened(tmp_path: pathlib.Path) -> None:
    sizes = write_arrays(tmp_path / "file", {"a": np.array([7, 8], np.int32)[::-1]})
    assert read_arrays(tmp_path / "file", sizes)["a"].tolist() == [8, 7]
