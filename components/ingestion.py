"""Beam's part of TextExampleGen: files in, shards of documents out.

A document's id decides its split and its shard, so all that concerns an id meets in one place: each
shard is written whole, sorted by id, by one call, to a temporary name that is then renamed. What is
written thus depends on the text alone, not on the runner, its workers or its retries.

Imports no TFX, which each of Beam's worker processes would pay for.
"""

import collections
import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf

from components.config import IngestionConfig
from components.documents import Place, place_of, serialize, text_hash
from components.text_records import Malformed, Record, RecordReader

SPLITS = ("train", "eval")
QUARANTINE = "quarantine.jsonl"
SUMMARY = "ingestion.json"
_MALFORMED = "malformed"


def ingest(
    pipeline: beam.Pipeline, files: Sequence[str], folder: str, config: IngestionConfig
) -> None:
    """Adds to a Beam pipeline what reads files and fills an artifact's folder.

    Args:
        pipeline: the pipeline.
        files: what `components.input_files.expand` gave.
        folder: the artifact's folder; receives `Split-train/` and `Split-eval/` with
            `documents-<shard>-of-<shards>.tfrecord.gz`, shards without a document left out,
            `quarantine.jsonl` and `ingestion.json`.
        config: what to read and how.
    """
    for name in ("scratch", *(f"Split-{split}" for split in SPLITS)):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    reader = RecordReader(lang=config.lang, max_record_bytes=config.max_record_bytes)
    read = (
        pipeline
        | "Files" >> beam.Create(list(files))
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(reader)).with_outputs(_MALFORMED, main="records")
    )
    placed = read.records | "Place" >> beam.Map(_place, config)
    repeats = (
        read.records
        | "Slim" >> beam.Map(_slim)
        | "ById" >> beam.GroupByKey()
        | "Identify" >> beam.FlatMap(_identify)
        | "ByText" >> beam.GroupByKey()
        | "Repeated" >> beam.FlatMap(_repeated, config)
    )
    written = (
        {"records": placed, "repeats": repeats}
        | "ByShard" >> beam.CoGroupByKey()
        | "Write"
        >> beam.ParDo(_WriteShard(folder, config.shards)).with_outputs(_MALFORMED, main="tallies")
    )
    malformed = (read[_MALFORMED], written[_MALFORMED]) | "Bad" >> beam.Flatten()
    _ = (
        {
            "tallies": written.tallies | "KeyTallies" >> beam.Map(_alone),
            "malformed": malformed | "KeyBad" >> beam.Map(_alone),
        }
        | "All" >> beam.CoGroupByKey()
        | "Summarize" >> beam.Map(_summarize, folder)
    )


class _Read(beam.DoFn):
    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def process(self, file: str) -> Iterator[Any]:
        for item in self._reader.read(file):
            yield (
                beam.pvalue.TaggedOutput(_MALFORMED, item) if isinstance(item, Malformed) else item
            )


# The functions below are not annotated with NamedTuples: Beam would infer a row coder from them and
# hand the next step another type.


def _place(record: Any, config: IngestionConfig) -> tuple[Any, Any]:
    place = place_of(record.document.id, eval_share=config.eval_share, shards=config.shards)
    return tuple(place), record


def _slim(record: Any) -> tuple[Any, Any]:
    """Keys by id what says which documents stay, and their text's hash: no text is shuffled."""
    document = record.document
    return document.id, (record.file, record.line, record.derived, text_hash(document.text))


def _identify(element: tuple[str, Iterable[Any]]) -> Iterator[tuple[Any, Any]]:
    """Yields (text hash, (final id, id)) for the documents of one id that stay."""
    identity, group = element
    ordered = sorted(group)
    final = final_ids(identity, [derived for _, _, derived, _ in ordered])
    for name, (_, _, _, text) in zip(final, ordered, strict=True):
        if name is not None:
            yield text, (name, identity)


def final_ids(identity: str, derived: Sequence[bool]) -> list[str | None]:
    """Names the documents that share an id, in the order in which they stand.

    The first keeps the id. A later one whose id was derived from its text gets a number behind it:
    nobody called it the same. A later one that was given the id gets None: one of them is wrong.
    """
    return [
        identity if index == 0 else f"{identity}.{index + 1}" if was_derived else None
        for index, was_derived in enumerate(derived)
    ]


def _repeated(
    element: tuple[str, Iterable[Any]], config: IngestionConfig
) -> Iterator[tuple[Any, Any]]:
    """Yields (place, final id) for all but the first, by id, of the documents of one text."""
    _, group = element
    for name, identity in sorted(group)[1:]:
        place = place_of(identity, eval_share=config.eval_share, shards=config.shards)
        yield tuple(place), name


class _WriteShard(beam.DoFn):
    """Writes one shard; yields its tally, and as malformed the documents of a taken id."""

    def __init__(self, folder: str, shards: int) -> None:
        self._folder = folder
        self._shards = shards

    def process(self, element: Any) -> Iterator[Any]:
        key, groups = element
        place, repeats = Place(*key), set(groups["repeats"])
        documents = []
        records = sorted(groups["records"], key=lambda r: (r.document.id, r.file, r.line))
        for identity, same in itertools.groupby(records, key=lambda r: r.document.id):
            group = list(same)
            final = final_ids(identity, [record.derived for record in group])
            for name, record in zip(final, group, strict=True):
                if name is None:
                    yield beam.pvalue.TaggedOutput(_MALFORMED, _taken(record, group[0]))
                else:
                    documents.append(record.document._replace(id=name))
        documents.sort(key=lambda document: document.id)
        self._write(place, [serialize(d, duplicate=d.id in repeats) for d in documents])
        yield {
            "split": place.split,
            "documents": len(documents),
            "characters": sum(len(document.text) for document in documents),
            "duplicates": len(repeats),
            "sources": collections.Counter(document.source for document in documents),
            "langs": collections.Counter(document.lang for document in documents),
        }

    def _write(self, place: Place, serialized: list[bytes]) -> None:
        name = f"documents-{place.shard:05d}-of-{self._shards:05d}.tfrecord.gz"
        temporary = os.path.join(self._folder, "scratch", f"{name}.{uuid.uuid4().hex}")
        # TensorFlow's gzip header carries no time, Python's would.
        with tf.io.TFRecordWriter(temporary, tf.io.TFRecordOptions("GZIP")) as writer:
            for item in serialized:
                writer.write(item)
        os.replace(temporary, os.path.join(self._folder, f"Split-{place.split}", name))


def _taken(record: Record, first: Record) -> Malformed:
    place = f"{first.file}:{first.line}"
    reason = f"duplicate id: {record.document.id!r} is first at {place}"
    return Malformed(record.file, record.line, reason, record.document.text[:80])


def _alone(item: Any) -> tuple[int, Any]:
    return 0, item


def _summarize(element: tuple[int, dict[str, Iterable[Any]]], folder: str) -> None:
    """Writes quarantine.jsonl, in the order of files and lines, and ingestion.json."""
    _, groups = element
    malformed = sorted(groups["malformed"])
    lines = (json.dumps(item._asdict(), ensure_ascii=False) + "\n" for item in malformed)
    _replace(os.path.join(folder, QUARANTINE), lines)
    splits: dict[str, Any] = {
        split: {"documents": 0, "characters": 0, "duplicates": 0, "sources": {}, "langs": {}}
        for split in SPLITS
    }
    for tally in groups["tallies"]:
        split = splits[tally["split"]]
        for field in ("documents", "characters", "duplicates"):
            split[field] += tally[field]
        for field in ("sources", "langs"):
            split[field] = collections.Counter(split[field]) + tally[field]
    summary = {
        "splits": splits,
        "quarantined": len(malformed),
        "quarantined_by_reason": collections.Counter(item.kind for item in malformed),
    }
    _replace(os.path.join(folder, SUMMARY), [json.dumps(summary, indent=2, sort_keys=True)])


def _replace(path: str, lines: Iterable[str]) -> None:
    temporary = f"{path}.{uuid.uuid4().hex}"
    # A file's name may hold bytes that are no UTF-8.
    with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(lines)
    os.replace(temporary, path)
