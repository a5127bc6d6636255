"""Tests of the numbers of shards and their keys."""

from __future__ import annotations

import pathlib

import pytest

from components.config import IngestionConfig
from components.documents import Place, place_of
from components.ingestion.shards import ShardKeys, shard_counts


@pytest.mark.parametrize(
    ("config", "name", "megabytes", "expected"),
    [
        (IngestionConfig(), "a.jsonl", 1, (2, 0, 1)),
        (IngestionConfig(), "a.jsonl", 142, (8, 0, 1)),
        (IngestionConfig(), "a.txt", 143, (16, 0, 2)),
        (IngestionConfig(), "a.jsonl.gz", 143, (64, 0, 6)),
        (IngestionConfig(test_share=0.01), "a.parquet", 1_000, (256, 0, 3)),
        (IngestionConfig(eval_share=0.2), "a.txt", 143, (8, 2, 1)),
        (IngestionConfig(shards=3), "a.jsonl", 1_000, (3, 0, 1)),
        (IngestionConfig(shards=30, held_out_shards=2), "a.jsonl", 1, (30, 0, 2)),
        (IngestionConfig(shards=30, held_out_shards=2, eval_share=0.1), "a.txt", 1, (30, 2, 2)),
    ],
)
def test_shards_grow_with_the_text(
    tmp_path: pathlib.Path,
    config: IngestionConfig,
    name: str,
    megabytes: int,
    expected: tuple[int, int, int],
) -> None:
    with open(tmp_path / name, "wb") as stream:
        stream.truncate(megabytes * 1_000_000)  # a sparse file
    counts = shard_counts([str(tmp_path / name)], config)
    assert (counts["train"], counts["eval"], counts["test"]) == expected


def test_each_shard_of_each_split_has_a_key() -> None:
    shards = {"train": 3, "eval": 1, "test": 2}
    keys = ShardKeys(test_share=0.3, eval_share=0.2, shards=shards)
    assert len(keys) == 6
    assert [keys.place(key) for key in (0, 2, 3, 5)] == [
        Place("train", 0),
        Place("train", 2),
        Place("test", 0),
        Place("eval", 0),
    ]
    for number in range(50):
        place = place_of(f"d{number}", test_share=0.3, eval_share=0.2, shards=shards)
        assert keys.place(keys.key(f"d{number}")) == place
