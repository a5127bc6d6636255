"""Beam's part of TextCleaner: shards of documents in, the same shards without some of them out.

Each document is judged by itself; those that pass are compared through what they share: the hash of
a text, the bands of a sketch. Of documents that share something the first stays: one of the split
"test" before one of "eval" before one of "train", then by id. A shard that loses nothing is linked
rather than written.

Imports no TFX, which each of Beam's worker processes would pay for.
"""

import collections
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf

from components.cleaning import trained_texts
from components.cleaning.evaluation_texts import EvaluationTexts, shared_runs
from components.cleaning.near_duplicates import bands_of
from components.cleaning.text_quality import QUARANTINED, Fault, fault_of, outside_bounds
from components.cleaning.word_grams import hash_words, words_of
from components.config import CleaningConfig, ValidationConfig
from components.documents import Document, parse, read_documents, text_hash
from components.layout import (
    CLEANING_FILE,
    DROPPED_FOLDER,
    EVAL,
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
from models.printable import to_json
from models.published import published

TRAINED_PART = "-trained.npy"
"""How the names of a shard's keys end in the scratch folder, see
components/cleaning/trained_texts.py."""

_EXAMPLES = 3  # documents told of, of each reason
_START_CHARACTERS = 120
_DUPLICATE, _NEAR_DUPLICATE, _SEEN = "duplicate", "near duplicate", "evaluation text"
_SHARED = "shared"
_KEPT = (TEST, EVAL, TRAIN)  # whose document stays, of those that share something
_TEXT, _BAND = b"=", b"~"  # what a shared key is: the hash of a text, the band of a sketch


class Verdict(NamedTuple):
    """That a document of a shard is dropped, and why."""

    id: str
    fault: Fault


class _Holder(NamedTuple):
    """A document that has something others may have too; ordered as they are kept."""

    rank: int
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
    """Adds to a Beam pipeline what drops documents.

    Args:
        pipeline: the pipeline.
        documents: the folder that TextExampleGen wrote.
        folder: the artifact's folder; receives `Split-<split>/` for each split, `Dropped/` with a
            file `<split>-<shard>.jsonl` of every shard that lost something, and `cleaning.json`.
        config: what to drop.
        bounds: what every document is to be like; others are quarantined.
        evaluation: the texts that documents must not share runs of words with.
        trained: a file of the keys of what earlier spans trained on; held-out documents must not be
            among it. See components/cleaning/trained_texts.py, whose parts are left in the scratch
            folder.
    """
    scratch = os.path.join(folder, SCRATCH_FOLDER)
    for name in (SCRATCH_FOLDER, DROPPED_FOLDER):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for split in SPLITS:
        os.makedirs(split_folder(folder, split), exist_ok=True)
    shards = shard_files(documents)
    judged = (
        pipeline
        | "Shards" >> beam.Create(list(enumerate(shards)))
        | "Spread" >> beam.Reshuffle()
        | "Judge"
        >> beam.ParDo(_Judge(scratch, config, bounds, evaluation, trained)).with_outputs(
            _SHARED, main="verdicts"
        )
    )
    repeats = (
        judged[_SHARED]
        | "PlaceShared" >> beam.Map(_placed, len(shards))
        | "ByShared" >> GroupItems(scratch, len(shards), tuple[bytes, _Holder])
        | "Repeats" >> beam.FlatMap(_repeats)
    )
    verdicts = (judged.verdicts, repeats) | "Verdicts" >> beam.Flatten()
    _ = (
        verdicts
        | "ByShard" >> GroupItems(scratch, len(shards), Verdict)
        | "Write" >> beam.Map(_write_shard, shards, folder)
        | "All" >> beam.combiners.ToList()
        | "Summarize" >> beam.Map(_summarize, folder, evaluation)
    )


class _Judge(beam.DoFn):
    """Yields (shard, verdict), and of the documents without one (what is shared, holder)."""

    def __init__(
        self,
        scratch: str,
        config: CleaningConfig,
        bounds: ValidationConfig,
        evaluation: EvaluationTexts | None,
        trained: str | None,
    ) -> None:
        self._scratch = scratch
        self._trained = trained
        self._config = config
        self._bounds = bounds
        self._evaluation = evaluation

    def process(self, element: Any) -> Iterator[Any]:
        number, shard = element
        split = split_of(shard)
        trained = split == TRAIN
        keys: list[list[int]] = []
        for document in read_documents(shard):
            fault, shared = self._judge(document, held_out=not trained)
            if fault:
                yield number, Verdict(document.id, fault)
            keys.append([] if fault else self._keys(document, shared))
            for key in shared:
                holder = _Holder(_KEPT.index(split), document.id, number)
                yield beam.pvalue.TaggedOutput(_SHARED, (key, holder))
        if trained:
            trained_texts.write_table(keys, _table(self._scratch, number))

    def _keys(self, document: Document, shared: Sequence[bytes]) -> list[int]:
        bands = [key.removeprefix(_BAND) for key in shared if key.startswith(_BAND)]
        return trained_texts.keys_of(document.text, bands)

    def _judge(self, document: Document, *, held_out: bool) -> tuple[Fault | None, list[bytes]]:
        config, evaluation = self._config, self._evaluation
        fault = outside_bounds(document, self._bounds)
        if fault:
            return fault, []
        similarity = config.near_duplicate_similarity
        # Only where words are asked for.
        words = words_of(document.text) if similarity or evaluation or config.quality else []
        hashes = hash_words(words)
        fault = fault_of(document, words, hashes, config)
        if not fault and evaluation:
            share = shared_runs(hashes, evaluation.path, config.evaluation_words)
            if share > config.max_evaluation_share:
                runs = f"runs of {config.evaluation_words} words"
                fault = Fault(_SEEN, f"{share:.2%} of its {runs} are in evaluation texts")
        if fault:
            return fault, []
        shared = []
        if config.duplicates:
            shared.append(_TEXT + bytes.fromhex(text_hash(document.text)))
        if similarity:
            shared += [_BAND + band for band in bands_of(hashes, similarity)]
        known = self._trained if held_out else None
        if known and trained_texts.among(self._keys(document, shared), known):
            return Fault(trained_texts.REASON, "in an earlier span, or much of it"), []
        return None, shared


# The functions below are not annotated with NamedTuples: Beam would infer a row coder from them and
# hand the next step another type.


def _placed(shared: Any, shards: int) -> Any:
    return int.from_bytes(shared[0][-8:], "big") % shards, shared


def _repeats(element: Any) -> Iterator[Any]:
    """Yields (shard, verdict) for all but the first of those that share something."""
    _, found = element
    for shared, same in itertools.groupby(sorted(found), key=lambda item: item[0]):
        holders = [holder for _, holder in same]
        reason = _DUPLICATE if shared.startswith(_TEXT) else _NEAR_DUPLICATE
        for holder in holders[1:]:
            yield holder.shard, Verdict(holder.id, Fault(reason, f"of {holders[0].id}"))


def _write_shard(element: Any, shards: Sequence[str], folder: str) -> dict[str, Any]:
    """Writes one shard without what is dropped; returns its tally."""
    number, verdicts = element
    shard = shards[number]
    split, name = split_of(shard), os.path.basename(shard)
    faults: dict[str, Fault] = {}
    for identity, fault in sorted(verdicts, reverse=True):
        faults[identity] = fault  # the first of several is what stays: "duplicate" before "near…"
    kept: list[bytes] = []
    stays: list[bool] = []
    dropped: list[dict[str, Any]] = []
    characters = collections.Counter({"kept": 0})
    documents = 0
    for record in tf.data.TFRecordDataset(shard, "GZIP").as_numpy_iterator():
        document = parse(record)
        documents += 1
        fault = faults.get(document.id)
        stays.append(fault is None)
        if fault is None:
            kept.append(record)
        else:
            dropped.append(_dropped(document, fault))
        characters["kept" if fault is None else fault.reason] += len(document.text)
    scratch, target = os.path.join(folder, SCRATCH_FOLDER), split_folder(folder, split) / name
    if not dropped:
        link_whole(shard, target, scratch)
    elif kept:
        with published(target, scratch=scratch) as partial, RecordWriter(partial) as writer:
            writer.write(kept)
    if split == TRAIN:
        part = os.path.join(scratch, f"{number}{TRAINED_PART}")
        trained_texts.write_part(_table(scratch, number), stays, part)
    if dropped:
        path = os.path.join(folder, DROPPED_FOLDER, f"{split}-{shard_number(shard):05d}.jsonl")
        write_whole(path, (to_json(item) + "\n" for item in dropped))
    examples: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for item in dropped:
        examples[item["reason"]].append(item)
    return {
        "split": split,
        "documents": documents,
        "characters": dict(characters),
        "dropped": {reason: len(items) for reason, items in examples.items()},
        "examples": {reason: items[:_EXAMPLES] for reason, items in examples.items()},
    }


def _table(scratch: str, number: int) -> str:
    return os.path.join(scratch, f"{number}-keys.npy")


def _dropped(document: Document, fault: Fault) -> dict[str, Any]:
    start = " ".join(document.text[:_START_CHARACTERS].split())
    return {
        "id": document.id,
        "source": document.source,
        "reason": fault.reason,
        "detail": fault.detail,
        "start": start,
    }


def _summarize(
    tallies: Iterable[Mapping[str, Any]], folder: str, evaluation: EvaluationTexts | None
) -> None:
    """Writes cleaning.json."""
    splits: dict[str, Any] = {}
    for split in SPLITS:
        found = [tally for tally in tallies if tally["split"] == split]
        add = functools.partial(_add, found)
        dropped, documents = add("dropped"), sum(tally["documents"] for tally in found)
        splits[split] = {
            "documents": documents,
            "kept": documents - sum(dropped.values()),
            "dropped": dropped,
            "quarantined": sum(dropped.get(reason, 0) for reason in QUARANTINED.values()),
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
        "evaluation_texts_too_short": evaluation.short if evaluation else 0,
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
