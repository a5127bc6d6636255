"""Beam transforms of TextExampleGen: read files and write shards of documents.

A hash of a document's id decides its split and shard, so all documents with the same id are in one
shard. One call writes a shard: sorted by id, to a temporary name that is then renamed. The bytes
therefore depend only on the text, and not on the runner, the number of workers or retries. Because
only the hash decides, a shard is a random sample of the span.

This module does not import TFX, which every Beam worker process would have to load.
"""

import collections
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from components.config import IngestionConfig
from components.documents import Document, Place, serialize, text_hash
from components.ingestion.bad_records import CountMalformed
from components.ingestion.frequent import (
    OTHER,
    add_counts,
    drop_rare,
    most_frequent,
    with_rest_as_other,
)
from components.ingestion.shards import ShardKeys, shard_counts
from components.layout import (
    INGESTION_FILE,
    QUARANTINE_FILE,
    SCRATCH_FOLDER,
    SPLITS,
    shard_name,
    split_folder,
)
from components.readers.parts import split_file
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader
from components.storage.exchange import CoGroupItems, GroupItems
from components.storage.publish import write_whole
from components.storage.record_files import RecordWriter
from models.printable import to_json
from models.published import published

_MALFORMED, _UNREADABLE, _SOURCES = "malformed", "unreadable", "sources"  # tagged outputs
_MAX_LANGS = 50  # counted by name
_KEYS = tuple[str, str, int, bool, str, str]  # what `_keys_of` returns
_COUNTS = ("documents", "characters", "duplicates", "wrapped", "of_rare_sources")


def ingest(
    pipeline: beam.Pipeline, files: Sequence[str], folder: str, config: IngestionConfig
) -> None:
    """Adds transforms to a Beam pipeline that read files and write an artifact of documents.

    Args:
        pipeline: the pipeline.
        files: paths of the files, see `components.readers.files.find_files`.
        folder: the artifact's folder. Receives a folder `Split-<split>/` for each split with
            `documents-<shard>-of-<shards>.tfrecord.gz`, without shards that have no document,
            `quarantine.jsonl` and `ingestion.json`.
        config: what to read and how.
    """
    scratch = os.path.join(folder, SCRATCH_FOLDER)
    os.makedirs(scratch, exist_ok=True)
    for split in SPLITS:
        os.makedirs(split_folder(folder, split), exist_ok=True)
    shard_keys = ShardKeys(config.test_share, config.eval_share, shard_counts(files, config))
    read = _read_files(pipeline, files, config)
    records = read.records | "ByShardKey" >> beam.Map(
        lambda record: (shard_keys.key(record.document.id), record)
    )
    identified = (
        records
        | "KeysOnly" >> beam.MapTuple(lambda key, record: (key, _keys_of(record)))
        | "ById" >> GroupItems(scratch, len(shard_keys), _KEYS)
        | "Identify" >> beam.ParDo(_Identify()).with_outputs(_SOURCES, main="texts")
    )
    items = {
        "records": records,
        "duplicates": _find_duplicates(identified.texts, shard_keys, scratch),
        "sources": _frequent_sources(identified[_SOURCES], shard_keys, config.max_sources),
    }
    types = {"records": Record, "duplicates": str, "sources": tuple[str, ...]}
    written = (
        items
        | "ByShard" >> CoGroupItems(scratch, len(shard_keys), types)
        | "Write"
        >> beam.ParDo(_WriteShard(folder, shard_keys)).with_outputs(_MALFORMED, main="tallies")
    )
    _write_summary(pipeline, read, written, folder)


def _read_files(pipeline: beam.Pipeline, files: Sequence[str], config: IngestionConfig) -> Any:
    """Reads files; returns the outputs `records`, malformed records and unreadable parts."""
    reader = RecordReader(
        lang=config.lang,
        max_record_bytes=config.max_record_bytes,
        text_field=config.text_field,
        encoding=config.encoding,
        document_per_file=config.document_per_file,
        join_lines=config.join_lines,
    )
    return (
        pipeline
        | "Files" >> beam.Create([os.fsencode(file) for file in files])
        | "Parts" >> beam.FlatMap(_parts, config.encoding, config.document_per_file)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(reader)).with_outputs(_MALFORMED, _UNREADABLE, main="records")
    )


def _find_duplicates(texts: Any, shard_keys: ShardKeys, scratch: str) -> Any:
    """(text hash, final id, id) → (shard key, final id) of all but the first with each text."""
    return (
        texts
        | "ByTextHash" >> beam.Map(lambda text: (int(text[0], 16) % len(shard_keys), text))
        | "ByText" >> GroupItems(scratch, len(shard_keys), tuple[str, str, str])
        | "Duplicates" >> beam.FlatMap(_all_but_first)
        | "ToShard" >> beam.MapTuple(lambda final, original: (shard_keys.key(original), final))
    )


def _frequent_sources(counts: Any, shard_keys: ShardKeys, number: int) -> Any:
    """Counts of sources by shard → (shard key, names of the most frequent sources), of each shard.

    The names are an input of every group rather than a side input: between a grouping and a
    transform with a side input, Flink would write every group once more, as one item.
    """
    return (
        counts
        | "AddSources" >> beam.CombineGlobally(add_counts)
        | "Sources" >> beam.Map(lambda total: tuple(most_frequent(total, number)))
        | "ToEachShard"
        >> beam.FlatMap(lambda names: ((key, names) for key in range(len(shard_keys))))
    )


def _write_summary(pipeline: beam.Pipeline, read: Any, written: Any, folder: str) -> None:
    """Collects counts and malformed records, and writes the summary and the quarantine."""
    malformed = (
        read[_MALFORMED] | "CountMalformed" >> beam.CombineGlobally(CountMalformed()),
        written[_MALFORMED] | "CountTakenIds" >> beam.CombineGlobally(CountMalformed()),
    ) | "AllMalformed" >> beam.Flatten()
    # With None among the tallies, a summary is written even if there is no document.
    tallies = (written.tallies, pipeline | "None" >> beam.Create([None])) | beam.Flatten()
    _ = (
        {
            "tallies": tallies | "KeyTallies" >> beam.Map(_with_key_0),
            "malformed": malformed | "KeyMalformed" >> beam.Map(_with_key_0),
            "unreadable": read[_UNREADABLE] | "KeyUnreadable" >> beam.Map(_with_key_0),
        }
        | "All" >> beam.CoGroupByKey()
        | "Summarize" >> beam.Map(_summarize, folder)
    )


def _parts(file: bytes, encoding: str, document_per_file: bool) -> Iterator[Any]:
    """The parts of a file. The path is bytes, because it may not be UTF-8."""
    yield from split_file(os.fsdecode(file), encoding=encoding, document_per_file=document_per_file)


class _Read(beam.DoFn):
    """Yields the records of a part of a file, and what is malformed or unreadable."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def process(self, part: Any) -> Iterator[Any]:
        for item in self._reader.read(part):
            if isinstance(item, Malformed):
                yield beam.pvalue.TaggedOutput(_MALFORMED, item)
            elif isinstance(item, Unreadable):
                yield beam.pvalue.TaggedOutput(_UNREADABLE, item)
            else:
                yield item


# The functions below have no NamedTuple in their annotations: Beam would infer a row coder from it
# and pass another type to the next transform.


def _keys_of(record: Any) -> tuple[str, str, int, bool, str, str]:
    """What duplicates are found by, and the source; much smaller than the record."""
    document = record.document
    text = text_hash(document.text)
    return document.id, record.file, record.line, record.id_from_text, text, document.source


class _Identify(beam.DoFn):
    """Yields (text hash, final id, id) of the documents that a shard keeps, and its sources."""

    def process(self, element: Any) -> Iterator[Any]:
        _, keys = element
        sources = collections.Counter[str]()
        for original, same_id in itertools.groupby(sorted(keys), key=lambda entry: entry[0]):
            entries = list(same_id)
            finals = final_ids(original, [id_from_text for _, _, _, id_from_text, _, _ in entries])
            for final, (*_, text, source) in zip(finals, entries, strict=True):
                sources[source] += 1
                if final is not None:
                    yield text, final, original
        yield beam.pvalue.TaggedOutput(_SOURCES, drop_rare(sources))


def final_ids(original: str, ids_from_text: Sequence[bool]) -> list[str | None]:
    """The final ids of the documents that share an id.

    The first document keeps the id. A later document whose id was computed from its text gets a
    number appended. A later document that came with the id gets None: it is malformed, because one
    of the two ids is wrong.

    Args:
        original: the id.
        ids_from_text: for each document, in order, whether its id was computed from its text.
    """
    return [
        original if index == 0 else f"{original}.{index + 1}" if id_from_text else None
        for index, id_from_text in enumerate(ids_from_text)
    ]


def _all_but_first(element: Any) -> Iterator[tuple[str, str]]:
    """Yields (final id, id) for all but the first, by id, of the documents with the same text."""
    _, texts = element
    for _, same_text in itertools.groupby(sorted(texts), key=lambda text: text[0]):
        for _, final, original in itertools.islice(same_text, 1, None):
            yield final, original


class _WriteShard(beam.DoFn):
    """Writes one shard; yields its tally, and documents whose id is taken as malformed records."""

    def __init__(self, folder: str, shard_keys: ShardKeys) -> None:
        self._folder = folder
        self._shard_keys = shard_keys

    def process(self, element: Any) -> Iterator[Any]:
        key, groups = element
        (sources,) = groups["sources"]
        duplicates = set(groups["duplicates"])
        documents: list[Document] = []
        hard_wrapped = of_rare_sources = 0
        records = sorted(groups["records"], key=lambda r: (r.document.id, r.file, r.line))
        for original, same_id in itertools.groupby(records, key=lambda r: r.document.id):
            group = list(same_id)
            finals = final_ids(original, [record.id_from_text for record in group])
            for final, record in zip(finals, group, strict=True):
                if final is None:
                    yield beam.pvalue.TaggedOutput(_MALFORMED, _taken_id(record, group[0]))
                    continue
                document = record.document
                source = document.source if document.source in sources else OTHER
                hard_wrapped += record.hard_wrapped
                of_rare_sources += source != document.source
                documents.append(document._replace(id=final, source=source))
        if not records:
            return
        documents.sort(key=lambda document: document.id)
        place = self._shard_keys.place(key)
        self._write(place, serialize(documents, duplicates))
        langs = collections.Counter(document.lang for document in documents)
        yield {
            "split": place.split,
            "documents": len(documents),
            "characters": sum(len(document.text) for document in documents),
            "duplicates": len(duplicates),
            "wrapped": hard_wrapped,
            "of_rare_sources": of_rare_sources,
            "sources": collections.Counter(document.source for document in documents),
            "langs": with_rest_as_other(langs, _MAX_LANGS),
        }

    def _write(self, place: Place, serialized: list[bytes]) -> None:
        name = shard_name("documents", place.shard, self._shard_keys.shards[place.split])
        path = split_folder(self._folder, place.split) / name
        scratch = os.path.join(self._folder, SCRATCH_FOLDER)
        with published(path, scratch=scratch) as partial, RecordWriter(partial) as writer:
            writer.write(serialized)


def _taken_id(record: Record, first: Record) -> Malformed:
    """Reports a record whose id an earlier record has."""
    place = f"{first.file}:{first.line}"
    reason = f"duplicate id: {record.document.id!r} is first at {place}"
    return Malformed(record.file, record.line, reason, record.document.text[:80])


def _with_key_0(item: Any) -> tuple[int, Any]:
    return 0, item


def _summarize(element: tuple[int, dict[str, Iterable[Any]]], folder: str) -> None:
    """Writes quarantine.jsonl, sorted by files and lines, and ingestion.json."""
    _, groups = element
    combiner = CountMalformed()
    quarantined, empty, kinds, first = combiner.extract_output(
        combiner.merge_accumulators(groups["malformed"])
    )
    malformed = (Malformed(*item)._asdict() for item in first)
    lines = (to_json(item) + "\n" for item in malformed)
    write_whole(os.path.join(folder, QUARANTINE_FILE), lines)
    summary = {
        "splits": _added_by_split(filter(None, groups["tallies"])),
        "quarantined": quarantined,
        "empty": empty,
        "quarantined_by_reason": kinds,
        "unreadable": [item._asdict() for item in sorted(groups["unreadable"])],
    }
    write_whole(
        os.path.join(folder, INGESTION_FILE), [json.dumps(summary, indent=2, sort_keys=True)]
    )


def _added_by_split(tallies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of the shards' tallies, by split."""
    splits: dict[str, Any] = {
        split: {**dict.fromkeys(_COUNTS, 0), "sources": {}, "langs": {}} for split in SPLITS
    }
    for tally in tallies:
        split = splits[tally["split"]]
        for field in _COUNTS:
            split[field] += tally[field]
        for field in ("sources", "langs"):
            split[field] = collections.Counter(split[field]) + collections.Counter(tally[field])
    for split in splits.values():
        split["langs"] = with_rest_as_other(split["langs"], _MAX_LANGS)
    return splits
