"""Tests of the keys of trained texts: trained texts are found, and others are not."""

from __future__ import annotations

import hashlib
import pathlib
import tempfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.cleaning.trained_texts import (
    is_trained,
    merge_keys,
    text_keys,
    write_kept_keys,
    write_table,
)

KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=30)


def test_the_keys_of_a_text_come_from_its_hash_and_its_bands() -> None:
    assert text_keys("One.", []) == [int(hashlib.sha256(b"One.").hexdigest()[:16], 16)]
    assert text_keys("One.", []) != text_keys("Two.", [])
    assert text_keys("One.", [b"\0" * 7 + b"\5" + b"\1" * 8])[1:] == [5]


@given(KEYS, KEYS, KEYS)
def test_only_written_keys_are_found(one: list[int], two: list[int], looked_up: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(pathlib.Path(folder), one, two, looked_up)


def check(folder: pathlib.Path, one: list[int], two: list[int], looked_up: list[int]) -> None:
    for name, keys in (("one", one), ("two", two)):
        table = [[key] for key in keys]
        write_table(table, str(folder / "table"))
        write_kept_keys(str(folder / "table"), [True] * len(keys), str(folder / name))
    whole = str(folder / "keys.npy")
    assert merge_keys([folder / "one", folder / "two"], whole) == len({*one, *two})
    assert np.load(whole).tolist() == sorted({*one, *two})
    assert is_trained(looked_up, whole) == bool({*looked_up} & {*one, *two})


def test_nothing_is_found_without_keys(tmp_path: pathlib.Path) -> None:
    merge_keys([], str(tmp_path / "keys.npy"))
    assert not is_trained([7], str(tmp_path / "keys.npy"))


def test_kept_keys_are_those_of_the_kept_documents(tmp_path: pathlib.Path) -> None:
    table, part = str(tmp_path / "table"), str(tmp_path / "part")
    write_table([[5, 6, 7], [], [8], [9, 4]], table)
    assert np.load(table).tolist() == [[5, 6, 7], [0, 0, 0], [8, 8, 8], [9, 4, 9]]
    write_kept_keys(table, [True, False, False, True], part)
    assert np.load(part).tolist() == [4, 5, 6, 7, 9]
    write_table([], table)
    write_kept_keys(table, [], part)
    assert np.load(part).tolist() == []
