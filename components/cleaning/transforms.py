"""Beam transforms of TextCleaner: read document shards, drop documents, write the same shards.

Each document is first checked by itself. Documents that pass are compared by keys that duplicates
share: the hash of a text, and the band hashes of near duplicates. Of the documents with a common
key one is kept: a document of the split "test" before one of "eval" before one of "train", then the
one with the first id. A shard that loses no document is linked instead of written.

This module does not import TFX, which every Beam worker process would have to load.
"""

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf

from components.cleaning import trained_texts
from components.cleaning.evaluation_texts import EvaluationTexts, shared_ngram_share
from components.cleaning.near_duplicates import band_hashes
from components.cleaning.text_quality import DropReason, broken_rule, violated_bound
from components.cleaning.word_grams import hash_words
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document, parse, read_documents, text_hash
from components.layout import (
    CLEANING_FILE,
    DROPPED_FOLDER,
    EVAL,
    QUARANTINE_REASONS,
    SCRATCH_FOLDER,
    SPLITS,
    TEST,
    TRAIN,
    shard_files,
    shard_number,
    split_folder,
    split_of,
)
from components.storage.exchange import GroupItems
from components.storage.publish import link_whole, write_whole
from components.storage.record_files import RecordWriter
from components.words import split_words
from models.printable import to_json
from models.published import published

KEPT_KEYS_SUFFIX = "-trained.npy"
"""Suffix of the files in the scratch folder with the keys of each shard's training documents, see
components/cleaning/trained_texts.py."""

_EXAMPLES = 3  # dropped documents in the summary, for each reason
_START_CHARACTERS = 120
_DUPLICATE, _NEAR_DUPLICATE, _EVALUATION_TEXT = "duplicate", "near duplicate", "evaluation text"
_KEYS = "keys"  # tagged output
_PRIORITY = (TEST, EVAL, TRAIN)  # of duplicates, the document of the first of these splits is kept
_TEXT_KEY, _BAND_KEY = b"=", b"~"  # first byte of a key: the hash of a text, or of a band


class Verdict(NamedTuple):
    """A document of a shard that is dropped, and why."""

    id: str
    reason: DropReason


class _KeyHolder(NamedTuple):
    """A document that has a key; the first in sorting order is kept."""

    priority: int
    id: str
    shard: int


def clean(
    pipeline: beam.Pipeline,
    documents: str,
    folder: str,
    config: CleaningConfig,
    bounds: ValidationConfig,
    evaluation: EvaluationTexts | None,
    trained: str | None = None,
) -> None:
    """Adds transforms to a Beam pipeline that drop documents.

    Args:
        pipeline: the pipeline.
        documents: folder of TextExampleGen's artifact.
        folder: the artifact's folder. Receives `Split-<split>/` for each split, `Dropped/` with a
            file `<split>-<shard>.jsonl` for every shard that lost documents, and `cleaning.json`.
        config: which documents to drop.
        bounds: bounds on single documents; documents that violate them are quarantined.
        evaluation: texts whose n-grams documents must not contain, if there are any.
        trained: file of the keys of the texts that earlier spans trained on, if there is one.
            Held-out documents must have none of these keys. The keys of this span's documents are
            left in the scratch folder. See components/cleaning/trained_texts.py.
    """
    scratch = os.path.join(folder, SCRATCH_FOLDER)
    for name in (SCRATCH_FOLDER, DROPPED_FOLDER):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for split in SPLITS:
        os.makedirs(split_folder(folder, split), exist_ok=True)
    shards = shard_files(documents)
    rules = _Rules(config, bounds, evaluation, trained)
    checked = (
        pipeline
        | "Shards" >> beam.Create(list(enumerate(shards)))
        | "Spread" >> beam.Reshuffle()
        | "Check" >> beam.ParDo(_CheckShard(scratch, rules)).with_outputs(_KEYS, main="verdicts")
    )
    duplicates = (
        checked[_KEYS]
        | "ByKeyHash" >> beam.Map(_with_group, len(shards))
        | "ByKey" >> GroupItems(scratch, len(shards), tuple[bytes, _KeyHolder])
        | "Duplicates" >> beam.FlatMap(_all_but_first)
    )
    verdicts = (checked.verdicts, duplicates) | "Verdicts" >> beam.Flatten()
    _ = (
        verdicts
        | "ByShard" >> GroupItems(scratch, len(shards), Verdict)
        | "Write" >> beam.Map(_write_shard, shards, folder)
        | "All" >> beam.combiners.ToList()
        | "Summarize" >> beam.Map(_summarize, folder, evaluation)
    )


@dataclasses.dataclass(frozen=True)
class _Rules:
    """The rules that a document is checked by, see `clean`."""

    config: CleaningConfig
    bounds: ValidationConfig
    evaluation: EvaluationTexts | None
    trained: str | None

    def check(
        self, document: Document, *, held_out: bool
    ) -> tuple[DropReason | None, Sequence[bytes]]:
        """Checks a document by itself.

        Returns:
            Why the document is dropped, or None and the keys that duplicates would share with it.
        """
        config = self.config
        reason = violated_bound(document, self.bounds)
        if reason:
            return reason, []
        similarity = config.near_duplicate_similarity
        needs_words = similarity or self.evaluation or config.quality
        words = split_words(document.text) if needs_words else []
        hashes = hash_words(words)
        reason = broken_rule(document, words, hashes, config) or self._evaluation_text(hashes)
        if reason:
            return reason, []
        keys = []
        if config.duplicates:
            keys.append(_TEXT_KEY + bytes.fromhex(text_hash(document.text)))
        if similarity:
            keys += [_BAND_KEY + band for band in band_hashes(hashes, similarity)]
        trained = self.trained if held_out else None
        if trained and trained_texts.is_trained(_stored_keys(document, keys), trained):
            detail = "in an earlier span, or much of it"
            return DropReason(trained_texts.REASON, detail), []
        return None, keys

    def _evaluation_text(self, hashes: Any) -> DropReason | None:
        if not self.evaluation:
            return None
        n = self.config.evaluation_words
        share = shared_ngram_share(hashes, self.evaluation.path, n)
        if share <= self.config.max_evaluation_share:
            return None
        detail = f"{share:.2%} of its {n}-grams are in evaluation texts"
        return DropReason(_EVALUATION_TEXT, detail)


def _stored_keys(document: Document, keys: Sequence[bytes]) -> list[int]:
    """The keys of a document that later spans look up, see components/cleaning/trained_texts.py."""
    bands = [key.removeprefix(_BAND_KEY) for key in keys if key.startswith(_BAND_KEY)]
    return trained_texts.text_keys(document.text, bands)


class _CheckShard(beam.DoFn):
    """Yields (shard, verdict) of documents that are dropped, and (key, holder) of the others."""

    def __init__(self, scratch: str, rules: _Rules) -> None:
        self._scratch = scratch
        self._rules = rules

    def process(self, element: Any) -> Iterator[Any]:
        number, shard = element
        split = split_of(shard)
        table: list[list[int]] = []
        for document in read_documents(shard):
            reason, keys = self._rules.check(document, held_out=split != TRAIN)
            if reason:
                yield number, Verdict(document.id, reason)
            table.append([] if reason else _stored_keys(document, keys))
            holder = _KeyHolder(_PRIORITY.index(split), document.id, number)
            for key in keys:
                yield beam.pvalue.TaggedOutput(_KEYS, (key, holder))
        if split == TRAIN:
            trained_texts.write_table(table, _table_file(self._scratch, number))


# The functions below have no NamedTuple in their annotations: Beam would infer a row coder from it
# and pass another type to the next transform.


def _with_group(key_and_holder: Any, groups: int) -> Any:
    return int.from_bytes(key_and_holder[0][-8:], "big") % groups, key_and_holder


def _all_but_first(element: Any) -> Iterator[Any]:
    """Yields (shard, verdict) for all but the first of the documents that have a common key."""
    _, holders_of_keys = element
    for key, pairs in itertools.groupby(sorted(holders_of_keys), key=lambda item: item[0]):
        holders = [holder for _, holder in pairs]
        reason = _DUPLICATE if key.startswith(_TEXT_KEY) else _NEAR_DUPLICATE
        for holder in holders[1:]:
            yield holder.shard, Verdict(holder.id, DropReason(reason, f"of {holders[0].id}"))


def _write_shard(element: Any, shards: Sequence[str], folder: str) -> dict[str, Any]:
    """Writes one shard without the dropped documents; returns its tally."""
    number, verdicts = element
    shard = shards[number]
    split, name = split_of(shard), os.path.basename(shard)
    reasons: dict[str, DropReason] = {}
    for document_id, reason in sorted(verdicts, reverse=True):
        reasons[document_id] = reason  # the first of several: "duplicate" before "near duplicate"
    kept: list[bytes] = []
    is_kept: list[bool] = []
    dropped: list[dict[str, Any]] = []
    characters = collections.Counter({"kept": 0})
    for record in tf.data.TFRecordDataset(shard, "GZIP").as_numpy_iterator():
        document = parse(record)
        drop_reason = reasons.get(document.id)
        is_kept.append(drop_reason is None)
        if drop_reason is None:
            kept.append(record)
        else:
            dropped.append(_dropped(document, drop_reason))
        characters[drop_reason.reason if drop_reason else "kept"] += len(document.text)
    scratch, target = os.path.join(folder, SCRATCH_FOLDER), split_folder(folder, split) / name
    if not dropped:
        link_whole(shard, target, scratch)
    elif kept:
        with published(target, scratch=scratch) as partial, RecordWriter(partial) as writer:
            writer.write(kept)
    if split == TRAIN:
        kept_keys = os.path.join(scratch, f"{number}{KEPT_KEYS_SUFFIX}")
        trained_texts.write_kept_keys(_table_file(scratch, number), is_kept, kept_keys)
    if dropped:
        path = os.path.join(folder, DROPPED_FOLDER, f"{split}-{shard_number(shard):05d}.jsonl")
        write_whole(path, (to_json(item) + "\n" for item in dropped))
    return {"split": split, "characters": dict(characters)} | _tally(len(is_kept), dropped)


def _tally(documents: int, dropped: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts a shard's documents, and its dropped documents by reason, with some examples."""
    by_reason: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for item in dropped:
        by_reason[item["reason"]].append(item)
    return {
        "documents": documents,
        "dropped": {reason: len(items) for reason, items in by_reason.items()},
        "examples": {reason: items[:_EXAMPLES] for reason, items in by_reason.items()},
    }


def _table_file(scratch: str, number: int) -> str:
    return os.path.join(scratch, f"{number}-keys.npy")


def _dropped(document: Document, reason: DropReason) -> dict[str, Any]:
    """A line of the files in `Dropped/`."""
    start = " ".join(document.text[:_START_CHARACTERS].split())
    return {
        "id": document.id,
        "source": document.source,
        "reason": reason.reason,
        "detail": reason.detail,
        "start": start,
    }


def _summarize(
    tallies: Iterable[Mapping[str, Any]], folder: str, evaluation: EvaluationTexts | None
) -> None:
    """Writes cleaning.json."""
    splits: dict[str, Any] = {}
    for split in SPLITS:
        of_split = [tally for tally in tallies if tally["split"] == split]
        add = functools.partial(_add, of_split)
        dropped, documents = add("dropped"), sum(tally["documents"] for tally in of_split)
        splits[split] = {
            "documents": documents,
            "kept": documents - sum(dropped.values()),
            "dropped": dropped,
            "quarantined": sum(dropped.get(reason, 0) for reason in QUARANTINE_REASONS.values()),
            "characters": add("characters"),
        }
    examples: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for tally in tallies:
        for reason, items in tally["examples"].items():
            examples[reason] += items
    summary = {
        "splits": splits,
        "examples": {
            reason: sorted(items, key=lambda item: item["id"])[:_EXAMPLES]
            for reason, items in examples.items()
        },
        "evaluation_texts": evaluation.texts if evaluation else 0,
        "evaluation_texts_too_short": evaluation.too_short if evaluation else 0,
    }
    write_whole(
        os.path.join(folder, CLEANING_FILE),
        [to_json(summary, indent=2, sort_keys=True)],
    )


def _add(tallies: Iterable[Mapping[str, Any]], field: str) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for tally in tallies:
        total.update(tally[field])
    return dict(total)
