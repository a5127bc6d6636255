"""Tests of the names of splits and shards."""

from __future__ import annotations

import pathlib

from components.config import ValidationConfig
from components.layout import (
    ASSETS_FOLDER,
    EVAL,
    QUARANTINE_REASONS,
    SPLITS,
    TRAIN,
    shard_files,
    shard_name,
    shard_number,
    split_folder,
    split_of,
    splits_in_words,
)
from components.serving.probe import ASSETS
from models.settings import Affects


def test_splits_in_words() -> None:
    counts = dict(zip(SPLITS, (1_200, 30, 0), strict=True))
    assert splits_in_words(counts) == "1,200 to train on, 30 to test on"
    assert splits_in_words(counts | {EVAL: 40}).endswith(", 40 for evaluation during training")


def test_names_of_shards() -> None:
    name = shard_name("documents", 3, 12)
    assert name == "documents-00003-of-00012.tfrecord.gz"
    assert shard_number(pathlib.Path("Split-train", name)) == 3


def test_shards_by_split(tmp_path: pathlib.Path) -> None:
    for split in SPLITS:
        split_folder(tmp_path, split).mkdir()
        for name in (shard_name("documents", 1, 2), shard_name("documents", 0, 2), "other.txt"):
            (split_folder(tmp_path, split) / name).touch()
    files = [str(pathlib.Path(file).relative_to(tmp_path)) for file in shard_files(tmp_path, TRAIN)]
    assert files == [
        "Split-train/documents-00000-of-00002.tfrecord.gz",
        "Split-train/documents-00001-of-00002.tfrecord.gz",
    ]
    assert [split_of(file) for file in shard_files(tmp_path)] == [
        "eval", "eval", "test", "test", "train", "train",
    ]  # fmt: skip


def test_the_probe_names_the_same_assets_folder() -> None:
    """The probe cannot import the name from layout.py: its process imports nothing of Polyseme."""
    assert ASSETS == ASSETS_FOLDER


def test_every_bound_on_a_document_has_its_reason() -> None:
    assert set(QUARANTINE_REASONS) == set(ValidationConfig().that_affect(Affects.EXAMPLES))
