"""The number of shards of each split, and the keys that address them in Beam."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from components.config import IngestionConfig
from components.documents import Place, place_of
from components.layout import EVAL, SPLITS, TEST, TRAIN
from components.readers.formats import format_of

_SHARD_BYTES = 16_000_000
_MIN_SHARDS = 2
_COMPRESSED, _PARQUET = 4, 3  # rough ratios of the size of the text to the size of the file


def shard_counts(files: Sequence[str], config: IngestionConfig) -> dict[str, int]:
    """The number of shards of each split."""
    train = config.shards
    if train is None:
        size = sum(os.path.getsize(file) * _text_ratio(file) for file in files)
        train = _MIN_SHARDS
        # Doubled, so that the shards of a growing corpus rarely change.
        while size * (1 - config.held_out_share) > train * _SHARD_BYTES:
            train *= 2

    def held_out(share: float) -> int:
        return (config.held_out_shards or max(1, round(train * share))) if share else 0

    return {
        TRAIN: train,
        EVAL: held_out(config.eval_share),
        TEST: held_out(config.test_share),
    }


def _text_ratio(file: str) -> int:
    """How many times larger the text of a file is than the file, roughly."""
    form = format_of(file)
    if form is None:
        return 1
    return _COMPRESSED if form.compression else _PARQUET if form.kind == "parquet" else 1


@dataclasses.dataclass(frozen=True)
class ShardKeys:
    """Numbers the shards of all splits from 0; a shard's number is its key in Beam.

    Attributes:
        test_share, eval_share: see `IngestionConfig`.
        shards: number of shards of each split.
    """

    test_share: float
    eval_share: float
    shards: Mapping[str, int]

    def __len__(self) -> int:
        return sum(self.shards.values())

    def key(self, document_id: str) -> int:
        """The key of the shard that a document is assigned to."""
        place = place_of(
            document_id,
            test_share=self.test_share,
            eval_share=self.eval_share,
            shards=self.shards,
        )
        earlier_splits = SPLITS[: SPLITS.index(place.split)]
        return place.shard + sum(self.shards[split] for split in earlier_splits)

    def place(self, key: int) -> Place:
        """The split and shard of a key."""
        places = [Place(split, shard) for split in SPLITS for shard in range(self.shards[split])]
        return places[key]
