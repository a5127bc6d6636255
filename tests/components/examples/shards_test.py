"""Tests of choosing the document shards that examples are made from."""

from __future__ import annotations

import json
import pathlib

import pytest

from components.examples.shards import Shard, document_shards


def cleaned(folder: pathlib.Path, characters: int, *names: str) -> str:
    """A folder with the files that TextCleaner writes; the shards are empty."""
    for name in names:
        path = folder / f"Split-{name}.tfrecord.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    kept = {"splits": {"train": {"characters": {"kept": characters, "duplicate": 5}}}}
    (folder / "cleaning.json").write_text(json.dumps(kept))
    return str(folder)


def test_targets_are_named_after_the_split_and_the_older_span() -> None:
    new = Shard("/a/Split-eval/documents-00001-of-00002.tfrecord.gz")
    assert new.target == "Split-eval/examples-00001-of-00002.tfrecord.gz"
    older = Shard("/a/Split-train/documents-00001-of-00002.tfrecord.gz", older_span=7)
    assert older.target == "Split-train/examples-of-span-7-00001-of-00002.tfrecord.gz"


@pytest.mark.parametrize(
    ("replay_share", "expected"),
    [
        (None, 1.0),
        (0.5, 0.25),  # 100 characters of 400, so that 100 of 200 are older
        (0.2, 0.0625),  # 25 of 400: 25 of 125 are older
        (0.9, 1.0),  # 900 would be needed, and there are 400
    ],
)
def test_a_share_of_the_training_text_of_older_spans_is_replayed(
    tmp_path: pathlib.Path, replay_share: float | None, expected: float
) -> None:
    new = cleaned(tmp_path / "3", 100, "train/documents-0", "test/documents-0")
    older = {
        2: cleaned(tmp_path / "2", 300, "train/documents-0", "eval/documents-0"),
        1: cleaned(tmp_path / "1", 100, "train/documents-0", "test/documents-0"),
    }
    found = document_shards(new, older, replay_share)
    assert [(shard.split, shard.older_span, shard.share) for shard in found] == [
        ("test", None, 1.0),
        ("train", None, 1.0),
        ("train", 1, expected),
        ("train", 2, expected),
    ]


def test_without_older_spans_there_is_nothing_to_replay(tmp_path: pathlib.Path) -> None:
    new = cleaned(tmp_path, 100, "train/documents-0")
    assert [shard.share for shard in document_shards(new, {}, 0.5)] == [1.0]
