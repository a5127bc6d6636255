"""TextCleaner: drops documents that are not to be trained on, counted by reason (law 8)."""

import itertools
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.artifacts import TrainedTexts
from components.cleaning.evaluation_texts import read_evaluation_texts
from components.cleaning.text_quality import QUARANTINED
from components.cleaning.trained_texts import KEYS_FILE, merge
from components.cleaning.transforms import TRAINED_PART, clean
from components.config import CleaningConfig, ValidationConfig
from components.layout import (
    CLEANING_FILE,
    DROPPED_FOLDER,
    SCRATCH_FOLDER,
    SPLITS,
    TEST,
    TRAIN,
    splits_in_words,
)
from components.lineage.properties import COVERS, EVALUATION, TEST_SHARE, covers, set_content
from components.lineage.span_label import LABEL_PROPERTY, span_label
from components.storage.publish import write_whole
from models.errors import DataRefused
from models.settings import from_json

_LISTED = 3
_LOG = logging.getLogger("polyseme.text_cleaner")


@component(use_beam=True)
def TextCleaner(
    documents: InputArtifact[standard_artifacts.Examples],
    cleaned: OutputArtifact[standard_artifacts.Examples],
    trained: OutputArtifact[TrainedTexts],
    config: Parameter[str],
    bounds: Parameter[str],
    evaluation: Parameter[str],
    span: Parameter[int],
    unkeyed: Parameter[str],
    quarantine_dir: Parameter[str],
    earlier: InputArtifact[list[TrainedTexts]] = None,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Drops duplicates, near duplicates, evaluation texts, foreign and unfit documents.

    It judges documents, never a span: how many may go is for DataGate to say, so that moving that
    bound makes nothing again.

    Args:
        documents: what TextExampleGen wrote.
        cleaned: receives the same shards without what is dropped, `Dropped/` with all that was,
            and `cleaning.json`: for each split its documents and the dropped ones by reason.
        trained: receives `keys.npy`: what this span and those before it train on.
        config: a `CleaningConfig` as JSON; `max_dropped_share` is DataGate's to judge.
        bounds: the fields of a `ValidationConfig` that affect examples, as JSON.
        evaluation: fingerprint of the evaluation texts, so that changed ones are no cache hit.
        span: the span's number.
        unkeyed: JSON of the settings that no key holds: the paths of the evaluation texts.
        quarantine_dir: receives `span-<label>.documents.jsonl`: each document that is outside of
            the bounds, with its reason and value, which outlives a refusal. No key holds it.
        earlier: what other spans train on; absent in a first run.
        beam_pipeline: given by TFX.

    Raises:
        DataRefused: a split has too few documents left; an evaluation text cannot be read.
    """
    settings = from_json(CleaningConfig, json.dumps(json.loads(config) | json.loads(unkeyed)))
    limits = from_json(ValidationConfig, bounds)
    label = span_label(span, documents.get_string_custom_property(LABEL_PROPERTY))
    scratch = os.path.join(cleaned.uri, SCRATCH_FOLDER)
    os.makedirs(scratch, exist_ok=True)
    seen = None
    if settings.evaluation_texts:
        seen = read_evaluation_texts(settings, os.path.join(scratch, "evaluation.npy"))
        _LOG.info(
            "span %s: looking for runs of %d words of %s evaluation text(s)%s",
            label,
            settings.evaluation_words,
            f"{seen.texts - seen.short:,}",
            f"; {seen.short:,} are shorter and are not looked for" if seen.short else "",
        )
    before = [os.path.join(each.uri, KEYS_FILE) for each in earlier or ()]
    known = None
    if before and settings.trained_before:
        known = os.path.join(scratch, KEYS_FILE)
        merge(before, known)
    with beam_pipeline as pipeline:
        clean(pipeline, documents.uri, cleaned.uri, settings, limits, seen, known)
    parts = sorted(pathlib.Path(scratch).glob(f"*{TRAINED_PART}"))
    os.makedirs(trained.uri, exist_ok=True)
    merge([*before, *parts], os.path.join(trained.uri, KEYS_FILE))
    trained.span = span
    trained.set_string_custom_property(COVERS, json.dumps(covered_by(earlier or ())))
    set_content(trained, [KEYS_FILE])
    shutil.rmtree(scratch)
    with open(os.path.join(cleaned.uri, CLEANING_FILE), encoding="utf-8") as stream:
        summary = json.load(stream)
    quarantine = _keep_quarantine(cleaned.uri, quarantine_dir, label)
    _require_documents(summary, where=documents.uri, quarantine=quarantine)
    kept = {split: counts["kept"] for split, counts in summary["splits"].items()}
    cleaned.split_names = json.dumps([split for split in SPLITS if kept[split]])
    cleaned.span = span
    for name in ("span", LABEL_PROPERTY, "payload_format", "file_format"):
        cleaned.set_string_custom_property(name, documents.get_string_custom_property(name))
    share = documents.get_float_custom_property(TEST_SHARE)
    cleaned.set_float_custom_property(TEST_SHARE, share)
    cleaned.set_string_custom_property(EVALUATION, evaluation)
    dropped = dropped_by_reason(summary)
    _LOG.info(
        "span %s: documents: %s%s",
        label,
        splits_in_words(kept),
        f"; dropped {_told(dropped)}" if dropped else "; none dropped",
    )


def covered_by(earlier: Iterable[TrainedTexts]) -> list[int]:
    """The numbers of all TrainedTexts whose keys are in one that these were merged into."""
    covered = {number for each in earlier for number in (each.id, *covers(each))}
    return sorted(covered)


def dropped_by_reason(summary: dict[str, Any]) -> dict[str, int]:
    """Documents dropped by reason, the most frequent first."""
    counts: dict[str, int] = {}
    for split in summary["splits"].values():
        for reason, count in split["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _told(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in dropped.items())


def _keep_quarantine(folder: str, quarantine_dir: str, label: str) -> str:
    """Writes the quarantined documents with their reasons into a folder; returns the file's path.

    What was dropped by the other rules is in the artifact's `Dropped/` alone.
    """
    os.makedirs(quarantine_dir, exist_ok=True)
    path = os.path.join(quarantine_dir, f"span-{label}.documents.jsonl")
    reasons = set(QUARANTINED.values())
    write_whole(path, (line for line in _lines(folder) if json.loads(line)["reason"] in reasons))
    return path


def _lines(folder: str) -> Iterator[str]:
    for file in sorted(pathlib.Path(folder, DROPPED_FOLDER).iterdir()):
        with open(file, encoding="utf-8") as stream:
            yield from stream


def _require_documents(summary: dict[str, Any], *, where: str, quarantine: str) -> None:
    """Refuses what no step after this one can read; shares of it are DataGate's to judge."""
    train, test = (summary["splits"][split]["kept"] for split in (TRAIN, TEST))
    if train >= 2 and test:
        return
    dropped = dropped_by_reason(summary)
    examples = itertools.chain.from_iterable(summary["examples"][reason] for reason in dropped)
    listing = "".join(
        f"\n  {item['id']}: {item['reason']}, {item['detail']}"
        for item in itertools.islice(examples, _LISTED)
    )
    if any(split["quarantined"] for split in summary["splits"].values()):
        listing += f"\n  quarantined documents are listed in {quarantine}"
    raise DataRefused(
        f"Too few documents are left: {train} to train on and {test} to test on; at least 2"
        f" and 1 are needed. Dropped: {_told(dropped)}.{listing}",
        where=where,
        remedy="Add documents, or loosen the rules of cleaning or the bounds of validation.",
    )
