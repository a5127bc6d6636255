"""The document shards that examples are made from: those of a span, and of older spans."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from components.layout import CLEANING_FILE, SPLIT_PREFIX, TRAIN, shard_files, split_of


class Shard(NamedTuple):
    """A document shard that examples are made from.

    Attributes:
        path: the file, in a folder `Split-<split>`.
        older_span: number of the older span that it is from; None for the current span.
        share: share of its documents, chosen by a hash of the id, that examples are made from.
    """

    path: str
    older_span: int | None = None
    share: float = 1.0

    @property
    def split(self) -> str:
        """The split of the documents and of their examples."""
        return split_of(self.path)

    @property
    def target(self) -> str:
        """The path of the file of examples in the artifact's folder."""
        of_span = "" if self.older_span is None else f"of-span-{self.older_span}-"
        name = os.path.basename(self.path).replace("documents-", f"examples-{of_span}")
        return f"{SPLIT_PREFIX}{self.split}/{name}"


def document_shards(
    documents: str, older: Mapping[int, str], replay_share: float | None
) -> list[Shard]:
    """The shards that examples are made from: a span's, and the training shards of older spans.

    Args:
        documents: folder of TextCleaner's artifact.
        older: folders of older artifacts by the number of their span.
        replay_share: see `TrainingConfig.replay_share`.
    """
    share = 1.0
    if replay_share is not None and older:
        new_size, older_size = _characters([documents]), _characters(older.values())
        share = min(1.0, replay_share / (1 - replay_share) * new_size / max(older_size, 1))
    return [
        *(Shard(path) for path in shard_files(documents)),
        *(
            Shard(path, span, share)
            for span, folder in sorted(older.items())
            for path in shard_files(folder, TRAIN)
        ),
    ]


def _characters(cleaned: Iterable[str]) -> int:
    """Number of characters of the training documents in folders of TextCleaner's artifacts."""
    files = (pathlib.Path(folder, CLEANING_FILE) for folder in cleaned)
    summaries = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return sum(summary["splits"][TRAIN]["characters"]["kept"] for summary in summaries)
