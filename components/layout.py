"""Names of what lies in the steps' folders."""

from __future__ import annotations

from collections.abc import Mapping

SPLITS = ("train", "eval", "test")
"""What is trained on; what training, tuning and the choice among seeds look at; and what the
Evaluator alone judges models by. See docs/decisions/0034-three-splits.md."""

INGESTION_FILE = "ingestion.json"
"""In TextExampleGen's folder: its documents, by split."""
QUARANTINE_FILE = "quarantine.jsonl"
"""There too: the records that are no documents, a line each."""
CLEANING_FILE = "cleaning.json"
"""In TextCleaner's folder: its documents and those that it dropped, by split."""


def splits_in_words(counts: Mapping[str, int]) -> str:
    """How many documents or examples there are of each split, as a log line has it."""
    told = f"{counts['train']:,} to train on, {counts['test']:,} to test on"
    return told + (f", {counts['eval']:,} to look at in training" if counts["eval"] else "")
