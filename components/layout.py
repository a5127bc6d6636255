"""Names of the splits, and of the files and folders that one step writes and another reads."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

TRAIN, TEST, EVAL = "train", "test", "eval"
"""The splits: documents to train on; documents that only the Evaluator judges models by; documents
for evaluation during training, for tuning and for the choice among seeds."""
SPLITS = (TRAIN, TEST, EVAL)
"""All splits. A split's index in this tuple is part of the keys of random draws, so a new split
must be appended. See docs/decisions/0034-three-splits.md."""
SPLIT_PREFIX = "Split-"
"""TFX's prefix of the name of a split's folder in an artifact; the split's name follows it."""

SHARDS = "*.tfrecord.gz"
"""Glob of the shards in a split's folder, see `shard_name`."""
SCRATCH_FOLDER = "scratch"
"""Temporary files of Beam workers in an artifact's folder; the step removes it when it ends."""

INGESTION_FILE = "ingestion.json"
"""TextExampleGen: counts of documents by split, of malformed records and of unreadable files."""
QUARANTINE_FILE = "quarantine.jsonl"
"""TextExampleGen: the malformed records, one JSON object per line."""
CLEANING_FILE = "cleaning.json"
"""TextCleaner: counts of kept and dropped documents by split and reason."""
QUARANTINE_REASONS: Mapping[str, str] = {
    "min_characters": "too short",
    "max_non_letter_share": "non-letters",
    "max_replacement_share": "replacement characters",
    "languages": "language not allowed",
}
"""In `cleaning.json`: for each bound of `ValidationConfig` on single documents, the reason under
which the documents that violate it are counted."""
DROPPED_FOLDER = "Dropped"
"""TextCleaner: the dropped documents with their reasons, one file per shard."""

CHECKS_FILE = "checks.json"
"""DataGate, ExampleGate: all checks of a gate that let a span pass, as a JSON list."""

WORDS_FILE = "words.json"
"""VocabularyTrainer: where the vocabulary comes from. `origin`; for a file its `sha256`; for a
learned vocabulary `words` and `occurrences` in the text, and `learned_words` and
`learned_occurrences`, the part of them that `min_count` and `max_words` leave."""

EXAMPLES_FILE = "examples.json"
"""ExampleBuilder: family, objective, and counts of examples by split."""
OLDER = "older"
"""In `examples.json`: counts of the training examples made of older spans' documents."""
MANIFEST_FILE = "SHA256SUMS"
"""ExampleBuilder: SHA-256 of every file of examples, in the format of `sha256sum --check`."""
TOKENIZER_FOLDER = "tokenizer"
"""ExampleBuilder: the tokenizer's files."""
EXAMPLES_CONTENT = (MANIFEST_FILE, TOKENIZER_FOLDER)
"""What identifies the content of an Examples artifact: hashes of its files, and the tokenizer. The
other files are derived from the same documents."""

EXPORTED = "exported"
"""Trainer: an empty file in a folder of checkpoints; it exists once their model is exported."""
SAVED_MODEL_FOLDER = "Format-Serving"
"""Trainer: the SavedModel in a Model artifact; the name is TFX's."""
ASSETS_FOLDER = "assets.extra"
"""Folder of the files that Polyseme adds to a SavedModel. TensorFlow ignores it, and TF Serving
reads warm-up requests from it."""
CONFIG_FILE = "config.json"
"""The resolved configuration, in a pipeline's folder and in a SavedModel's added files."""
PROVENANCE_FILE = f"{ASSETS_FOLDER}/provenance.json"
"""In a SavedModel: where the model comes from; `span` and `fingerprint` of the run, and more."""
MODEL_TOKENIZER_FOLDER = f"{ASSETS_FOLDER}/{TOKENIZER_FOLDER}"
"""In a SavedModel: the tokenizer's files."""
EVALUATE_SIGNATURE = "evaluate"
"""In a SavedModel: the signature that returns the sums of which metrics are made."""
SERVING_CHECK_FILE = "serving_check.json"
"""ServingCheck: the seconds that each signature took to answer."""


def split_folder(artifact: str | pathlib.Path, split: str) -> pathlib.Path:
    """The folder of a split in an artifact's folder."""
    return pathlib.Path(artifact, f"{SPLIT_PREFIX}{split}")


def split_of(file: str | pathlib.Path) -> str:
    """The split of a file in a split's folder."""
    return pathlib.Path(file).parent.name.removeprefix(SPLIT_PREFIX)


def shard_files(artifact: str | pathlib.Path, split: str = "*") -> list[str]:
    """The shards of documents or examples in an artifact's folder, sorted.

    Args:
        artifact: the artifact's folder.
        split: the split; by default all of them.
    """
    return sorted(map(str, pathlib.Path(artifact).glob(f"{SPLIT_PREFIX}{split}/{SHARDS}")))


def shard_name(kind: str, number: int, shards: int) -> str:
    """The name of a file of documents or examples, as `documents-00000-of-00002.tfrecord.gz`.

    Args:
        kind: "documents" or "examples".
        number: number of the shard, from 0.
        shards: number of shards of the split.
    """
    return f"{kind}-{number:05d}-of-{shards:05d}.tfrecord.gz"


def shard_number(file: str | pathlib.Path) -> int:
    """The number in a name that `shard_name` made."""
    return int(pathlib.Path(file).name.split("-")[1])


def splits_in_words(counts: Mapping[str, int]) -> str:
    """The number of documents or examples of each split, for a log line."""
    words = f"{counts[TRAIN]:,} to train on, {counts[TEST]:,} to test on"
    return words + (f", {counts[EVAL]:,} for evaluation during training" if counts[EVAL] else "")
