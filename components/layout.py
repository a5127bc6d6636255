"""Names of what lies in the steps' folders."""

from __future__ import annotations

from collections.abc import Mapping

SPLITS = ("train", "test", "eval")
"""What is trained on; what the Evaluator alone judges models by; and what training, tuning and the
choice among seeds look at. Their places are in the keys of random draws: a new split comes last.
See docs/decisions/0034-three-splits.md."""

INGESTION_FILE = "ingestion.json"
"""In TextExampleGen's folder: its documents, by split."""
QUARANTINE_FILE = "quarantine.jsonl"
"""There too: the records that are no documents, a line each."""
CLEANING_FILE = "cleaning.json"
"""In TextCleaner's folder: its documents and those that it dropped, by split."""

WORDS_FILE = "words.json"
"""In a vocabulary's folder, where it comes from: `origin`; for a file its `sha256`; for a learned
one `words`, `occurrences`, `learned_words` and `learned_occurrences`, the latter two after
`min_count` and `max_words`."""
EXAMPLES_FILE = "examples.json"
MANIFEST_FILE = "SHA256SUMS"
TOKENIZER_FOLDER = "tokenizer"
EXAMPLES_CONTENT = (MANIFEST_FILE, TOKENIZER_FOLDER)
"""What examples are known by: the digests of their files, and the tokenizer. Counts and index are
made of the same."""
OLDER = "older"
"""In `examples.json`: what was made of older spans' documents, and is trained on too."""
PROVENANCE_FILE = "Format-Serving/assets.extra/provenance.json"
"""In a Model artifact's folder; holds `span` and `fingerprint` of the run that trained it."""


def splits_in_words(counts: Mapping[str, int]) -> str:
    """How many documents or examples there are of each split, as a log line has it."""
    told = f"{counts['train']:,} to train on, {counts['test']:,} to test on"
    return told + (f", {counts['eval']:,} for looks during training" if counts["eval"] else "")
