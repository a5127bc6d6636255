"""TextExampleGen: reads a span of raw text into documents, and counts every lost record."""

import itertools
import json
import logging
import os
import shutil
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.config import IngestionConfig
from components.ingestion.transforms import ingest
from components.layout import (
    INGESTION_FILE,
    QUARANTINE_FILE,
    SCRATCH_FOLDER,
    SPLITS,
    TEST,
    TRAIN,
    splits_in_words,
)
from components.lineage.properties import TEST_SHARE
from components.lineage.span_label import LABEL_PROPERTY
from components.readers.files import PLACEHOLDER, check_files
from components.readers.formats import format_of
from components.readers.records import Unreadable
from components.storage.publish import write_whole
from models.errors import DataRefused
from models.settings import from_json

_LISTED = 3  # records and files in a message
_log = logging.getLogger("polyseme.text_example_gen")


@component(use_beam=True)
def TextExampleGen(
    examples: OutputArtifact[standard_artifacts.Examples],
    span: Parameter[int],
    fingerprint: Parameter[str],
    config: Parameter[str],
    unkeyed: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Reads a span of text into documents in the splits train, test and eval.

    Args:
        examples: receives `Split-<split>/` for each split (see components/documents.py),
            `quarantine.jsonl` and `ingestion.json`.
        span: the span's number.
        fingerprint: `components.readers.files.input_fingerprint` of the files, so that changed text
            is not a cache hit.
        config: the fields of an `IngestionConfig` that affect examples, as JSON.
        unkeyed: JSON of what is not part of the cache key: `files` (list of paths to read),
            `pattern` (the input setting, for messages), `label` (the span's name for people: the
            number or date in its file names) and `quarantine` (a folder that receives a copy of the
            quarantine, which is kept if the component fails).
        beam_pipeline: provided by TFX.

    Raises:
        DataRefused: a file cannot be read, or a split has too few documents.
    """
    settings = from_json(IngestionConfig, config)
    inputs = json.loads(unkeyed)
    pattern, label, paths = inputs["pattern"], inputs["label"], inputs["files"]
    check_files(paths)
    size = sum(os.path.getsize(path) for path in paths)
    _log.info("span %s: reading %s bytes in %d file(s)", label, f"{size:,}", len(paths))
    with beam_pipeline as pipeline:
        ingest(pipeline, paths, examples.uri, settings)
    shutil.rmtree(os.path.join(examples.uri, SCRATCH_FOLDER))
    quarantine = _copy_quarantine(examples.uri, inputs["quarantine"], label)
    with open(os.path.join(examples.uri, INGESTION_FILE), encoding="utf-8") as stream:
        summary = json.load(stream)
    where = f"span {label} of {pattern}" if PLACEHOLDER in pattern else pattern
    _require_documents(summary, settings, paths, where=where, quarantine=quarantine)
    counts = {split: tally["documents"] for split, tally in summary["splits"].items()}
    # Later steps of TFX read every split that is named here, and fail on an empty one.
    examples.split_names = json.dumps([split for split in SPLITS if counts[split]])
    examples.span = span
    examples.set_string_custom_property("span", str(span))
    examples.set_string_custom_property(LABEL_PROPERTY, label)
    examples.set_string_custom_property("fingerprint", fingerprint)
    examples.set_float_custom_property(TEST_SHARE, settings.test_share)
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    _warn(summary, label)
    _log_counts(summary, label, quarantine)


def _log_counts(summary: dict[str, Any], label: str, quarantine: str) -> None:
    splits = summary["splits"]
    _log.info(
        "span %s: documents: %s; %s characters; %s quarantined%s",
        label,
        splits_in_words({split: tally["documents"] for split, tally in splits.items()}),
        f"{sum(tally['characters'] for tally in splits.values()):,}",
        f"{summary['quarantined'] - summary['empty']:,}",
        (f", {summary['empty']:,} empty" if summary["empty"] else "")
        + (f": see {quarantine}" if summary["quarantined"] else ""),
    )


def _warn(summary: dict[str, Any], label: str) -> None:
    """Warns about text that looks wrong but is used unchanged; DataGate reports lost text."""
    for field, message in (
        (
            "of_rare_sources",
            "span %s: there are many sources: %s documents of the rarest have the source 'other'"
            " (ingestion.max_sources)",
        ),
        (
            "wrapped",
            "span %s: the lines of %s documents in .txt files end in the middle of sentences, but"
            " each line is read as a sentence: ingestion.join_lines=True joins them",
        ),
    ):
        documents = sum(tally[field] for tally in summary["splits"].values())
        if documents:
            _log.warning(message, label, f"{documents:,}")


def _copy_quarantine(folder: str, quarantine_dir: str, label: str) -> str:
    """Copies the quarantine out of the artifact's folder; returns the copy's path."""
    os.makedirs(quarantine_dir, exist_ok=True)
    path = os.path.join(quarantine_dir, f"span-{label}.jsonl")
    with open(os.path.join(folder, QUARANTINE_FILE), encoding="utf-8") as lines:
        write_whole(path, lines)
    return path


def _require_documents(
    summary: dict[str, Any],
    config: IngestionConfig,
    paths: Sequence[str],
    *,
    where: str,
    quarantine: str,
) -> None:
    """Refuses an input with too few documents for the next steps; DataGate judges shares."""
    train = summary["splits"][TRAIN]["documents"]
    test = summary["splits"][TEST]["documents"]
    documents = sum(tally["documents"] for tally in summary["splits"].values())
    if not documents:
        raise DataRefused(
            f"The input holds no document.{_listing(summary, quarantine)}",
            where=where,
            remedy="Give it records with text: .jsonl, .csv, .tsv or .parquet with a field"
            f" {config.text_field!r} (ingestion.text_field), or plain text in .txt.",
        )
    if train < 2 or not test:
        raise DataRefused(
            f"Too few documents: {train} to train on and {test} to test on;"
            f" at least 2 and 1 are needed.{_listing(summary, quarantine)}",
            where=where,
            remedy=f"Add documents, or change ingestion.test_share ({config.test_share})."
            + _hint_about_blank_lines(documents, paths),
        )


def _listing(summary: dict[str, Any], quarantine: str) -> str:
    """The first unreadable files and malformed records, a line each."""
    lost = [f"\n  {Unreadable(**item)}" for item in summary["unreadable"]]
    with open(quarantine, encoding="utf-8") as stream:
        first = [json.loads(line) for line in itertools.islice(stream, _LISTED)]
    lines = lost[:_LISTED]
    lines += [f"\n  {item['file']}:{item['line']} {item['reason']}" for item in first]
    if summary["quarantined"] > _LISTED:
        rest = summary["quarantined"] - _LISTED
        lines.append(f"\n  and {rest:,} more malformed records: see {quarantine}")
    if len(lost) > _LISTED:
        lines.append(f"\n  and {len(lost) - _LISTED:,} more unreadable files")
    return "".join(lines)


def _hint_about_blank_lines(documents: int, paths: Sequence[str]) -> str:
    """Says how .txt files were split into documents, if there are any."""
    texts = sum((form := format_of(path)) is not None and form.kind == "txt" for path in paths)
    if not texts:
        return ""
    return (
        f" In .txt files blank lines separate documents: {documents:,} documents were found in"
        f" {texts:,} file(s). ingestion.document_per_file=True makes each file one document."
    )
