"""TextExampleGen: raw text in, a span of documents out, nothing lost in silence."""

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

_LISTED = 3
_LOG = logging.getLogger("polyseme.text_example_gen")


@component(use_beam=True)
def TextExampleGen(
    examples: OutputArtifact[standard_artifacts.Examples],
    span: Parameter[int],
    fingerprint: Parameter[str],
    config: Parameter[str],
    unkeyed: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Reads a span of text into documents, parted into train and eval.

    Args:
        examples: receives `Split-<split>/` for each split (see components/documents.py),
            `quarantine.jsonl` and `ingestion.json`.
        span: the span's number.
        fingerprint: `components.readers.files.input_fingerprint` of the files, so that changed text
            is no cache hit.
        config: the fields of an `IngestionConfig` that affect examples, as JSON.
        unkeyed: JSON of what no key holds: `files` (a list of paths: what is read and nothing
            else), `pattern` (the input as it was given, to be named in messages), `label` (the
            span's name for people: the number or the date in its files' names) and `quarantine` (a
            folder that receives a copy of the quarantine, which outlives a refusal).
        beam_pipeline: given by TFX.

    Raises:
        DataRefused: a file cannot be read, or one of the splits has too few documents.
    """
    settings = from_json(IngestionConfig, config)
    given = json.loads(unkeyed)
    pattern, label, paths = given["pattern"], given["label"], given["files"]
    check_files(paths)
    size = sum(os.path.getsize(path) for path in paths)
    _LOG.info("span %s: reading %s bytes in %d file(s)", label, f"{size:,}", len(paths))
    with beam_pipeline as pipeline:
        ingest(pipeline, paths, examples.uri, settings)
    shutil.rmtree(os.path.join(examples.uri, SCRATCH_FOLDER))
    quarantine = _keep_quarantine(examples.uri, given["quarantine"], label)
    with open(os.path.join(examples.uri, INGESTION_FILE), encoding="utf-8") as stream:
        summary = json.load(stream)
    where = f"span {label} of {pattern}" if PLACEHOLDER in pattern else pattern
    _require_documents(summary, settings, paths, where=where, quarantine=quarantine)
    splits = summary["splits"]
    _warn(summary, label)
    found = {split: counts["documents"] for split, counts in splits.items()}
    # TFX's steps read each split that is named, and refuse one without a document.
    examples.split_names = json.dumps([split for split in SPLITS if found[split]])
    examples.span = span
    examples.set_string_custom_property("span", str(span))
    examples.set_string_custom_property(LABEL_PROPERTY, label)
    examples.set_string_custom_property("fingerprint", fingerprint)
    examples.set_float_custom_property(TEST_SHARE, settings.test_share)
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    _LOG.info(
        "span %s: documents: %s; %s characters; %s quarantined%s",
        label,
        splits_in_words(found),
        f"{sum(split['characters'] for split in splits.values()):,}",
        f"{summary['quarantined'] - summary['empty']:,}",
        (f", {summary['empty']:,} empty" if summary["empty"] else "")
        + (f": see {quarantine}" if summary["quarantined"] else ""),
    )


def _warn(summary: dict[str, Any], label: str) -> None:
    """Says what looks wrong and is taken as it is; DataGate says what is lost."""
    rare = sum(split["of_rare_sources"] for split in summary["splits"].values())
    if rare:
        _LOG.warning(
            "span %s: there are many sources: %s documents of the rarest have the source 'other'"
            " (ingestion.max_sources)",
            label,
            f"{rare:,}",
        )
    wrapped = sum(split["wrapped"] for split in summary["splits"].values())
    if wrapped:
        _LOG.warning(
            "span %s: the lines of %s documents in .txt files end in the middle of sentences, and"
            " each is taken for a sentence: ingestion.join_lines=True joins them",
            label,
            f"{wrapped:,}",
        )


def _keep_quarantine(folder: str, quarantine_dir: str, label: str) -> str:
    """Copies the quarantine to where the user finds it; returns the copy's path."""
    os.makedirs(quarantine_dir, exist_ok=True)
    path = os.path.join(quarantine_dir, f"span-{label}.jsonl")
    with open(os.path.join(folder, QUARANTINE_FILE), encoding="utf-8") as lines:
        write_whole(path, lines)
    return path


def _separated(found: int, paths: Sequence[str]) -> str:
    """What made documents of plain text, where that may be what was not meant."""
    texts = sum((form := format_of(path)) is not None and form.kind == "txt" for path in paths)
    if not texts:
        return ""
    return (
        f" In .txt files blank lines separate documents: {found:,} were found in {texts:,}"
        " file(s). ingestion.document_per_file=True takes each file for one document."
    )


def _require_documents(
    summary: dict[str, Any],
    config: IngestionConfig,
    paths: Sequence[str],
    *,
    where: str,
    quarantine: str,
) -> None:
    """Refuses what no step after this one can read; shares of it are DataGate's to judge."""
    train = summary["splits"][TRAIN]["documents"]
    test = summary["splits"][TEST]["documents"]
    bad = summary["quarantined"]
    lost = [f"\n  {Unreadable(**item)}" for item in summary["unreadable"]]
    with open(quarantine, encoding="utf-8") as stream:
        first = [json.loads(line) for line in itertools.islice(stream, _LISTED)]
    listing = "".join(lost[:_LISTED])
    listing += "".join(f"\n  {item['file']}:{item['line']} {item['reason']}" for item in first)
    if bad > _LISTED:
        listing += f"\n  and {bad - _LISTED:,} more malformed records: see {quarantine}"
    if len(lost) > _LISTED:
        listing += f"\n  and {len(lost) - _LISTED:,} more unreadable files"
    found = sum(split["documents"] for split in summary["splits"].values())
    if not found:
        raise DataRefused(
            f"The input holds no document.{listing}",
            where=where,
            remedy="Give it records with text: .jsonl, .csv, .tsv or .parquet with a field"
            f" {config.text_field!r} (ingestion.text_field), or plain text in .txt.",
        )
    if train < 2 or not test:
        raise DataRefused(
            f"Too few documents: {train} to train on and {test} to test on;"
            f" at least 2 and 1 are needed.{listing}",
            where=where,
            remedy=f"Add documents, or change ingestion.test_share ({config.test_share})."
            + _separated(found, paths),
        )
