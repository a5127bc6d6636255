"""What TextExampleGen counted, as checks of DataGate."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from components.readers.formats import is_allowed
from components.readers.records import Malformed, Unreadable
from components.validation.gate_checks import Check, share_check

_LISTED = 3
_MOST_NAMES = 2_000  # characters


def unreadable_check(ingested: Mapping[str, Any], allowed: Sequence[str]) -> Check:
    """Of the files, those that could not be read to their end."""
    lost = [Unreadable(**item) for item in ingested["unreadable"]]
    refused = [item for item in lost if not is_allowed(item.file, allowed)]
    files = {item.file for item in lost}
    names = sorted({os.path.basename(item.file) for item in refused})
    value = f"{len(files):,}" + (f", of which {len(names):,} not allowed" if refused else "")
    if lost:
        known = sum(item.lost_records or 0 for item in lost)
        least = "at least " if any(item.lost_records is None for item in lost) else ""
        value += f"; lost: {least}{known:,} documents, {sum(i.lost_bytes for i in lost):,} bytes"
    listed = [*map(str, (refused or lost)[:_LISTED])]
    if len(refused or lost) > _LISTED:
        listed.append(f"and {len(refused or lost) - _LISTED:,} more places")
    return Check(
        split="all",
        feature="unreadable files",
        value=value,
        bound="none but those that are named",
        passed=not refused,
        field="ingestion.allow_unreadable",
        examples=listed,
        remedy="write the files again, or use what can be read of them: --set"
        f" ingestion.allow_unreadable={','.join(names)[:_MOST_NAMES]}",
    )


def malformed_check(ingested: Mapping[str, Any], quarantine: str, bound: float) -> Check:
    """Of the records, those that are no documents; empty ones are neither."""
    bad = ingested["quarantined"] - ingested["empty"]
    good = sum(split["documents"] for split in ingested["splits"].values())
    with open(quarantine, encoding="utf-8") as lines:
        found = (Malformed(**json.loads(line)) for line in lines)
        first = [*itertools.islice((item for item in found if not item.empty), _LISTED)]
    return share_check(
        "malformed records",
        bad,
        bad + good,
        bound,
        field="ingestion.max_quarantine_share",
        examples=[f"{item.file}:{item.line} {item.reason}" for item in first],
    )
