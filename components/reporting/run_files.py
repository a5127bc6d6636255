"""Readers of the files of a run that the report shows."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib

from components.reporting.inputs import Dropped, TrainingPoint
from models.errors import ConfigError

_UTILIZATION = frozenset({"matmul_utilization", "mfu"})
"""A metric that is neither a field of `TrainingPoint` nor a term of the loss: its name now, and in
earlier releases."""


def read_training_log(path: pathlib.Path | str) -> list[TrainingPoint]:
    """The points of `training.jsonl`, by step; the last record of a step replaces earlier ones.

    A last line without a line feed is still being written, and is left out.

    Raises:
        ConfigError: a line is not a JSON object with `step` and `loss`; the error names the file
            and the line.
    """
    fields = {field.name for field in dataclasses.fields(TrainingPoint)} - {"terms"}
    points: dict[int, TrainingPoint] = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                break
            try:
                record = json.loads(line)
                known = {name: value for name, value in record.items() if name in fields}
                terms = {
                    name: value
                    for name, value in record.items()
                    if name not in fields | _UTILIZATION
                }
                point = TrainingPoint(**known, terms=terms)
            except (ValueError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"not a record of the training log: {line.strip()[:80]}",
                    where=f"{path}:{number}",
                    remedy="remove the line, or train again",
                ) from error
            points[point.step] = point
    return [points[step] for step in sorted(points)]


def read_quarantined(path: pathlib.Path | str) -> dict[str, int]:
    """Number of quarantined records by reason, from `ingestion.json`; most frequent first."""
    counts = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["quarantined_by_reason"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_dropped(path: pathlib.Path | str) -> list[Dropped]:
    """The documents that cleaning dropped, from `cleaning.json`; the most frequent reason first."""
    summary = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    counts: collections.Counter[str] = collections.Counter()
    for split in summary["splits"].values():
        counts.update(split["dropped"])
    return [
        Dropped(
            reason,
            count,
            tuple((e["id"], e["detail"], e["start"]) for e in summary["examples"][reason]),
        )
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
