"""Beam's part of TextExampleGen: files in, shards of documents out.

A document's id decides its split and its shard, so all that concerns an id meets in one place: each
shard is written whole, sorted by id, by one call, to a temporary name that is then renamed. What is
written thus depends on the text alone, not on the runner, its workers or its retries. As the hash
of the id is all that decides, a shard is a uniform sample of the span.

Imports no TFX, which each of Beam's worker processes would pay for.
"""

import collections
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from components.config import IngestionConfig
from components.documents import Place, place_of, serialize, text_hash
from components.ingestion.bad_records import CountBad
from components.ingestion.frequent import OTHER, add_counts, folded, most_frequent, not_rare
from components.layout import (
    EVAL,
    INGESTION_FILE,
    QUARANTINE_FILE,
    SCRATCH_FOLDER,
    SPLITS,
    TEST,
    TRAIN,
    shard_name,
    split_folder,
)
from components.readers.formats import format_of
from components.readers.parts import split_file
from components.readers.records import Malformed, Record, Unreadable
from components.readers.text_records import RecordReader
from components.storage.exchange import CoGroupItems, GroupItems
from components.storage.publish import write_whole
from components.storage.record_files import RecordWriter
from models.printable import to_json
from models.published import published

_MALFORMED, _UNREADABLE, _SOURCES = "malformed", "unreadable", "sources"
_MOST_LANGS = 50  # that are counted by name
_SHARD_BYTES = 16_000_000
_MIN_SHARDS = 2
_SLIM = tuple[str, str, int, bool, str, str]
_COMPRESSED, _PARQUET = 4, 3  # times the bytes of the text, roughly


def shard_counts(files: Sequence[str], config: IngestionConfig) -> dict[str, int]:
    """How many shards each split gets."""
    train = config.shards
    if train is None:
        size = sum(os.path.getsize(file) * _expansion(file) for file in files)
        train = _MIN_SHARDS
        while size * (1 - config.held_out_share) > train * _SHARD_BYTES:
            train *= 2  # so that a corpus that grows keeps its groups for long

    def held_out(share: float) -> int:
        return (config.held_out_shards or max(1, round(train * share))) if share else 0

    return {
        TRAIN: train,
        EVAL: held_out(config.eval_share),
        TEST: held_out(config.test_share),
    }


def _expansion(file: str) -> int:
    form = format_of(file)
    if form is None:
        return 1
    return _COMPRESSED if form.compression else _PARQUET if form.kind == "parquet" else 1


def ingest(
    pipeline: beam.Pipeline, files: Sequence[str], folder: str, config: IngestionConfig
) -> None:
    """Adds to a Beam pipeline what reads files and fills an artifact's folder.

    Args:
        pipeline: the pipeline.
        files: what `components.readers.files.find_files` gave.
        folder: the artifact's folder; receives a folder `Split-<split>/` for each split with
            `documents-<shard>-of-<shards>.tfrecord.gz`, shards without a document left out,
            `quarantine.jsonl` and `ingestion.json`.
        config: what to read and how.
    """
    scratch = os.path.join(folder, SCRATCH_FOLDER)
    os.makedirs(scratch, exist_ok=True)
    for split in SPLITS:
        os.makedirs(split_folder(folder, split), exist_ok=True)
    shards = shard_counts(files, config)
    places = [Place(split, shard) for split in SPLITS for shard in range(shards[split])]
    place = _Placed(config.test_share, config.eval_share, shards)
    reader = RecordReader(
        lang=config.lang,
        max_record_bytes=config.max_record_bytes,
        text_field=config.text_field,
        encoding=config.encoding,
        document_per_file=config.document_per_file,
        join_lines=config.join_lines,
    )
    read = (
        pipeline
        | "Files" >> beam.Create([os.fsencode(file) for file in files])
        | "Parts" >> beam.FlatMap(_parts, config.encoding, config.document_per_file)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(reader)).with_outputs(_MALFORMED, _UNREADABLE, main="records")
    )
    records = read.records | "Place" >> beam.Map(
        lambda record: (place.key(record.document.id), record)
    )
    identified = (
        records
        | "Slim" >> beam.MapTuple(lambda key, record: (key, _slim(record)))
        | "ById" >> GroupItems(scratch, len(places), _SLIM)
        | "Identify" >> beam.ParDo(_Identify()).with_outputs(_SOURCES, main="texts")
    )
    sources = (
        identified[_SOURCES]
        | "AddSources" >> beam.CombineGlobally(add_counts)
        | "Sources" >> beam.Map(lambda counted: most_frequent(counted, config.max_sources))
    )
    repeats = (
        identified.texts
        | "PlaceText" >> beam.Map(lambda named: (int(named[0], 16) % len(places), named))
        | "ByText" >> GroupItems(scratch, len(places), tuple[str, str, str])
        | "Repeated" >> beam.FlatMap(_repeated)
        | "PlaceRepeat" >> beam.Map(lambda named: (place.key(named[1]), named[0]))
    )
    # To each shard, and not as a side input of its writing: between groups and what has a side
    # input, Flink would write every group down once more, as one item.
    kept = sources | "ToEach" >> beam.FlatMap(
        lambda names: ((key, tuple(names)) for key in range(len(places)))
    )
    found = {"records": Record, "repeats": str, "sources": tuple[str, ...]}
    written = (
        {"records": records, "repeats": repeats, "sources": kept}
        | "ByShard" >> CoGroupItems(scratch, len(places), found)
        | "Write"
        >> beam.ParDo(_WriteShard(folder, places, shards)).with_outputs(_MALFORMED, main="tallies")
    )
    malformed = (
        read[_MALFORMED] | "CountMalformed" >> beam.CombineGlobally(CountBad()),
        written[_MALFORMED] | "CountTaken" >> beam.CombineGlobally(CountBad()),
    ) | "Bad" >> beam.Flatten()
    _ = (
        {
            # One more of nothing, so that a summary is written whatever was found.
            "tallies": (written.tallies, pipeline | "Nothing" >> beam.Create([None]))
            | "Tallies" >> beam.Flatten()
            | "KeyTallies" >> beam.Map(_alone),
            "malformed": malformed | "KeyBad" >> beam.Map(_alone),
            "unreadable": read[_UNREADABLE] | "KeyUnreadable" >> beam.Map(_alone),
        }
        | "All" >> beam.CoGroupByKey()
        | "Summarize" >> beam.Map(_summarize, folder)
    )


def _parts(file: bytes, encoding: str, document_per_file: bool) -> Iterator[Any]:
    """A file's parts. Names travel as bytes: they need not be UTF-8."""
    yield from split_file(os.fsdecode(file), encoding=encoding, document_per_file=document_per_file)


@dataclasses.dataclass(frozen=True)
class _Placed:
    """Where ids go, as keys: the shards of all splits, numbered through."""

    test_share: float
    eval_share: float
    shards: Mapping[str, int]

    def key(self, identity: str) -> int:
        place = place_of(identity, **dataclasses.asdict(self))
        before = SPLITS[: SPLITS.index(place.split)]
        return place.shard + sum(self.shards[split] for split in before)


class _Read(beam.DoFn):
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


# The functions below are not annotated with NamedTuples: Beam would infer a row coder from them and
# hand the next step another type.


def _slim(record: Any) -> tuple[str, str, int, bool, str, str]:
    """What repeats are found by, and the source."""
    document = record.document
    text = text_hash(document.text)
    return document.id, record.file, record.line, record.id_from_text, text, document.source


class _Identify(beam.DoFn):
    """Yields (text hash, final id, id) for the documents of a shard that stay, and its sources."""

    def process(self, element: Any) -> Iterator[Any]:
        _, slim = element
        sources, ids = collections.Counter[str](), sorted(slim)
        for identity, same in itertools.groupby(ids, key=lambda entry: entry[0]):
            ordered = list(same)
            final = final_ids(identity, [derived for _, _, _, derived, _, _ in ordered])
            for name, (*_, text, source) in zip(final, ordered, strict=True):
                sources[source] += 1
                if name is not None:
                    yield text, name, identity
        yield beam.pvalue.TaggedOutput(_SOURCES, not_rare(sources))


def final_ids(identity: str, derived: Sequence[bool]) -> list[str | None]:
    """Names the documents that share an id, in the order in which they stand.

    The first keeps the id. A later one whose id was derived from its text gets a number behind it:
    nobody called it the same. A later one that was given the id gets None: one of them is wrong.
    """
    return [
        identity if index == 0 else f"{identity}.{index + 1}" if was_derived else None
        for index, was_derived in enumerate(derived)
    ]


def _repeated(element: Any) -> Iterator[tuple[str, str]]:
    """Yields (final id, id) for all but the first, by id, of the documents of one text."""
    _, named = element
    for _, same in itertools.groupby(sorted(named), key=lambda text_and_ids: text_and_ids[0]):
        for _, name, identity in itertools.islice(same, 1, None):
            yield name, identity


class _WriteShard(beam.DoFn):
    """Writes one shard; yields its tally, and as malformed the documents of a taken id."""

    def __init__(self, folder: str, places: Sequence[Place], shards: Mapping[str, int]) -> None:
        self._folder = folder
        self._places = places
        self._shards = shards

    def process(self, element: Any) -> Iterator[Any]:
        key, groups = element
        (sources,) = groups["sources"]
        place = self._places[key]
        repeats = set(groups["repeats"])
        documents, wrapped, renamed = [], 0, 0
        records = sorted(groups["records"], key=lambda r: (r.document.id, r.file, r.line))
        for identity, same in itertools.groupby(records, key=lambda r: r.document.id):
            group = list(same)
            final = final_ids(identity, [record.id_from_text for record in group])
            for name, record in zip(final, group, strict=True):
                if name is None:
                    yield beam.pvalue.TaggedOutput(_MALFORMED, _taken(record, group[0]))
                else:
                    document, wrapped = record.document, wrapped + record.hard_wrapped
                    source = document.source if document.source in sources else OTHER
                    renamed += source != document.source
                    documents.append(document._replace(id=name, source=source))
        if not records:
            return
        documents.sort(key=lambda document: document.id)
        self._write(place, serialize(documents, repeats))
        yield {
            "split": place.split,
            "documents": len(documents),
            "characters": sum(len(document.text) for document in documents),
            "duplicates": len(repeats),
            "wrapped": wrapped,
            "of_rare_sources": renamed,
            "sources": collections.Counter(document.source for document in documents),
            "langs": folded(collections.Counter(d.lang for d in documents), _MOST_LANGS),
        }

    def _write(self, place: Place, serialized: list[bytes]) -> None:
        name = shard_name("documents", place.shard, self._shards[place.split])
        path = split_folder(self._folder, place.split) / name
        scratch = os.path.join(self._folder, SCRATCH_FOLDER)
        with published(path, scratch=scratch) as partial, RecordWriter(partial) as writer:
            writer.write(serialized)


def _taken(record: Record, first: Record) -> Malformed:
    place = f"{first.file}:{first.line}"
    reason = f"duplicate id: {record.document.id!r} is first at {place}"
    return Malformed(record.file, record.line, reason, record.document.text[:80])


def _alone(item: Any) -> tuple[int, Any]:
    return 0, item


def _summarize(element: tuple[int, dict[str, Iterable[Any]]], folder: str) -> None:
    """Writes quarantine.jsonl, in the order of files and lines, and ingestion.json."""
    _, groups = element
    bad = CountBad()
    quarantined, empty, kinds, first = bad.extract_output(
        bad.merge_accumulators(groups["malformed"])
    )
    malformed = (Malformed(*item)._asdict() for item in first)
    lines = (to_json(item) + "\n" for item in malformed)
    write_whole(os.path.join(folder, QUARANTINE_FILE), lines)
    counts = ("documents", "characters", "duplicates", "wrapped", "of_rare_sources")
    splits: dict[str, Any] = {
        split: {**dict.fromkeys(counts, 0), "sources": {}, "langs": {}} for split in SPLITS
    }
    for tally in filter(None, groups["tallies"]):
        split = splits[tally["split"]]
        for field in counts:
            split[field] += tally[field]
        for field in ("sources", "langs"):
            split[field] = collections.Counter(split[field]) + collections.Counter(tally[field])
    for split in splits.values():
        split["langs"] = folded(split["langs"], _MOST_LANGS)
    summary = {
        "splits": splits,
        "quarantined": quarantined,
        "empty": empty,
        "quarantined_by_reason": kinds,
        "unreadable": [item._asdict() for item in sorted(groups["unreadable"])],
    }
    write_whole(
        os.path.join(folder, INGESTION_FILE), [json.dumps(summary, indent=2, sort_keys=True)]
    )
