"""Which files of documents examples are made of: a span's, and those of older spans."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from components.layout import CLEANING_FILE, SPLIT_PREFIX, TRAIN, shard_files, split_of


class Shard(NamedTuple):
    """A file of documents that examples are made of.

    Attributes:
        path: the file, in a folder `Split-<split>`.
        older: the number of the span that it is of; None for the one at hand.
        share: of its documents, by a hash of the id, that examples are made of.
    """

    path: str
    older: int | None = None
    share: float = 1.0

    @property
    def split(self) -> str:
        """The split whose examples these are."""
        return split_of(self.path)

    @property
    def target(self) -> str:
        """The file of examples, in the folder of all."""
        of_span = "" if self.older is None else f"of-span-{self.older}-"
        name = os.path.basename(self.path).replace("documents-", f"examples-{of_span}")
        return f"{SPLIT_PREFIX}{self.split}/{name}"


def shards_of(documents: str, older: Mapping[int, str], replay_share: float | None) -> list[Shard]:
    """The files that examples are made of: those of a span, and those to train on of older ones.

    Args:
        documents: the folder that TextCleaner wrote.
        older: such folders by their span's number.
        replay_share: see `TrainingConfig.replay_share`.
    """
    share = 1.0
    if replay_share is not None and older:
        new, before = _characters([documents]), _characters(older.values())
        share = min(1.0, replay_share / (1 - replay_share) * new / max(before, 1))
    return [
        *(Shard(path) for path in shard_files(documents)),
        *(
            Shard(path, span, share)
            for span, folder in sorted(older.items())
            for path in shard_files(folder, TRAIN)
        ),
    ]


def _characters(cleaned: Iterable[str]) -> int:
    """Characters to train on in folders that TextCleaner wrote."""
    summaries = (pathlib.Path(folder, CLEANING_FILE) for folder in cleaned)
    found = (json.loads(summary.read_text(encoding="utf-8")) for summary in summaries)
    return sum(each["splits"][TRAIN]["characters"]["kept"] for each in found)
