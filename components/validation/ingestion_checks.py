"""DataGate's checks of the unreadable files and malformed records that ingestion counted."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from components.readers.formats import is_allowed
from components.readers.records import Malformed, Unreadable
from components.validation.gate_checks import Check, share_check

_LISTED = 3  # places of a file, or records, in a check
_LISTED_NAMES = 2_000  # characters of file names in a check


def unreadable_check(ingested: Mapping[str, Any], allowed: Sequence[str]) -> Check:
    """A check that no file is unreadable, except those that are allowed to be."""
    lost = [Unreadable(**item) for item in ingested["unreadable"]]
    refused = [item for item in lost if not is_allowed(item.file, allowed)]
    files = {item.file for item in lost}
    names = sorted({os.path.basename(item.file) for item in refused})
    value = f"{len(files):,}" + (f", of which {len(names):,} not allowed" if refused else "")
    if amounts := _known_loss(lost):
        at_least = "at least " if any(item.lost_records is None for item in lost) else ""
        value += f"; lost: {at_least}{amounts}"
    listed = [*map(str, (refused or lost)[:_LISTED])]
    if len(refused or lost) > _LISTED:
        listed.append(f"and {len(refused or lost) - _LISTED:,} more places")
    return Check(
        split="all",
        feature="unreadable files",
        value=value,
        bound="only files that the setting names",
        passed=not refused,
        field="ingestion.allow_unreadable",
        examples=listed,
        remedy="write the files again, or use the part that can be read: --set"
        f" ingestion.allow_unreadable={','.join(names)[:_LISTED_NAMES]}",
    )


def _known_loss(lost: Sequence[Unreadable]) -> str:
    """The documents and bytes that are known to be lost, in words; "" if nothing is known."""
    documents = sum(item.lost_records or 0 for item in lost)
    size = sum(item.lost_bytes for item in lost)
    amounts = ((documents, "documents"), (size, "bytes"))
    return ", ".join(f"{amount:,} {unit}" for amount, unit in amounts if amount)


def malformed_check(ingested: Mapping[str, Any], quarantine: str, bound: float) -> Check:
    """A check of the share of malformed records; empty records count as neither."""
    bad = ingested["quarantined"] - ingested["empty"]
    good = sum(split["documents"] for split in ingested["splits"].values())
    with open(quarantine, encoding="utf-8") as lines:
        records = (Malformed(**json.loads(line)) for line in lines)
        first = [*itertools.islice((item for item in records if not item.empty), _LISTED)]
    return share_check(
        "malformed records",
        bad,
        bad + good,
        bound,
        field="ingestion.max_quarantine_share",
        examples=[f"{item.file}:{item.line} {item.reason}" for item in first],
    )
