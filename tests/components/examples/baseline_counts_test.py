"""Tests of the baselines' counts: shards add up, to equal bytes in any order."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from components.examples.baseline_counts import StoredCounts, count_arrays, write_counts
from components.storage.shard_arrays import write_arrays
from models.counts import Counts


def _counts(**occurrences: int) -> Counts:
    keys = [int(name.removeprefix("k")) for name in occurrences]
    return Counts(np.array(keys, np.int64), np.array([*occurrences.values()], np.int64))


SHARDS = (
    {"words": _counts(k1=2, k5=1), "pairs": _counts(k12=1)},
    {"words": _counts(k0=1, k5=4), "pairs": _counts()},
    {},
)


def _write(folder: pathlib.Path, order: tuple[int, ...]) -> pathlib.Path:
    folder.mkdir()
    shards = []
    for number in order:
        path = folder / f"shard-{number}"
        shards.append(
            (path, write_arrays(path, {"lengths": [9, 9]} | count_arrays(SHARDS[number])))
        )
    write_counts(str(folder), shards)
    return folder


def test_tables_are_the_sums_of_all_shards(tmp_path: pathlib.Path) -> None:
    found = StoredCounts(_write(tmp_path / "a", (0, 1, 2)))
    assert list(found) == ["pairs", "words"]
    assert len(found) == 2
    assert [part.tolist() for part in found["words"]] == [[0, 1, 5], [1, 2, 5]]
    assert [part.tolist() for part in found["pairs"]] == [[12], [1]]


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2)])
def test_the_bytes_do_not_depend_on_the_order_of_shards(
    tmp_path: pathlib.Path, order: tuple[int, ...]
) -> None:
    first, other = _write(tmp_path / "a", (0, 1, 2)), _write(tmp_path / "b", order)
    for table in ("words", "pairs"):
        name = f"baselines/{table}.npy"
        assert (first / name).read_bytes() == (other / name).read_bytes()
