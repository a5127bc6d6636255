"""TextCleaner: drops documents that must not be trained on, and counts them by reason."""

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
from components.cleaning.evaluation_texts import EvaluationTexts, read_evaluation_texts
from components.cleaning.trained_texts import KEYS_FILE, merge_keys
from components.cleaning.transforms import KEPT_KEYS_SUFFIX, clean
from components.config import CleaningConfig, ValidationConfig
from components.layout import (
    CLEANING_FILE,
    DROPPED_FOLDER,
    QUARANTINE_REASONS,
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

_LISTED = 3  # dropped documents in a message
_log = logging.getLogger("polyseme.text_cleaner")


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
    """Drops duplicates, near duplicates, evaluation texts, foreign languages and unfit documents.

    It judges single documents, not the span. How many documents may be dropped is DataGate's
    decision, so changing that bound does not make this component run again.

    Args:
        documents: TextExampleGen's documents.
        cleaned: receives the same shards without the dropped documents, `Dropped/` with these, and
            `cleaning.json`: the numbers of kept and dropped documents by split and reason.
        trained: receives `keys.npy`: keys of the documents that this span and earlier ones train
            on.
        config: a `CleaningConfig` as JSON; `max_dropped_share` is DataGate's.
        bounds: the fields of a `ValidationConfig` that affect examples, as JSON.
        evaluation: fingerprint of the evaluation texts, so that changed texts are not a cache hit.
        span: the span's number.
        unkeyed: JSON of the settings that are not part of the cache key: paths of the evaluation
            texts.
        quarantine_dir: receives `span-<label>.documents.jsonl`, which is kept if the component
            fails: every document that violates a bound, with reason and value. Not part of the
            cache key.
        earlier: keys of the documents that earlier spans train on; absent in a first run.
        beam_pipeline: provided by TFX.

    Raises:
        DataRefused: a split has too few documents left, or an evaluation text cannot be read.
    """
    settings = from_json(CleaningConfig, json.dumps(json.loads(config) | json.loads(unkeyed)))
    limits = from_json(ValidationConfig, bounds)
    label = span_label(span, documents.get_string_custom_property(LABEL_PROPERTY))
    scratch = os.path.join(cleaned.uri, SCRATCH_FOLDER)
    os.makedirs(scratch, exist_ok=True)
    evaluation_texts = _read_evaluation_texts(settings, scratch, label)
    earlier_keys = [os.path.join(texts.uri, KEYS_FILE) for texts in earlier or ()]
    trained_before = None
    if earlier_keys and settings.trained_before:
        trained_before = os.path.join(scratch, KEYS_FILE)
        merge_keys(earlier_keys, trained_before)
    with beam_pipeline as pipeline:
        inputs = (settings, limits, evaluation_texts, trained_before)
        clean(pipeline, documents.uri, cleaned.uri, *inputs)
    keys_of_shards = sorted(pathlib.Path(scratch).glob(f"*{KEPT_KEYS_SUFFIX}"))
    os.makedirs(trained.uri, exist_ok=True)
    merge_keys([*earlier_keys, *keys_of_shards], os.path.join(trained.uri, KEYS_FILE))
    trained.span = span
    trained.set_string_custom_property(COVERS, json.dumps(covered_by(earlier or ())))
    set_content(trained, [KEYS_FILE])
    shutil.rmtree(scratch)
    with open(os.path.join(cleaned.uri, CLEANING_FILE), encoding="utf-8") as stream:
        summary = json.load(stream)
    quarantine = _write_quarantine(cleaned.uri, quarantine_dir, label)
    _require_documents(summary, where=documents.uri, quarantine=quarantine)
    kept = {split: counts["kept"] for split, counts in summary["splits"].items()}
    cleaned.split_names = json.dumps([split for split in SPLITS if kept[split]])
    cleaned.span = span
    cleaned.set_string_custom_property(EVALUATION, evaluation)
    _copy_properties(documents, cleaned)
    dropped = dropped_by_reason(summary)
    _log.info(
        "span %s: documents: %s%s",
        label,
        splits_in_words(kept),
        f"; dropped {_in_words(dropped)}" if dropped else "; none dropped",
    )


def _copy_properties(documents: Any, cleaned: Any) -> None:
    """Copies the custom properties of TextExampleGen's artifact that cleaning does not change."""
    for name in ("span", LABEL_PROPERTY, "payload_format", "file_format"):
        cleaned.set_string_custom_property(name, documents.get_string_custom_property(name))
    test_share = documents.get_float_custom_property(TEST_SHARE)
    cleaned.set_float_custom_property(TEST_SHARE, test_share)


def _read_evaluation_texts(
    settings: CleaningConfig, scratch: str, label: str
) -> EvaluationTexts | None:
    """Reads the evaluation texts, if there are any, and logs their number."""
    if not settings.evaluation_texts:
        return None
    texts = read_evaluation_texts(settings, os.path.join(scratch, "evaluation.npy"))
    _log.info(
        "span %s: looking for %d-grams of words of %s evaluation text(s)%s",
        label,
        settings.evaluation_words,
        f"{texts.texts - texts.too_short:,}",
        f"; {texts.too_short:,} are too short to look for" if texts.too_short else "",
    )
    return texts


def covered_by(earlier: Iterable[TrainedTexts]) -> list[int]:
    """The ids of all TrainedTexts artifacts whose keys are in one that was merged from these."""
    return sorted({number for texts in earlier for number in (texts.id, *covers(texts))})


def dropped_by_reason(summary: dict[str, Any]) -> dict[str, int]:
    """Number of dropped documents by reason, the most frequent reason first."""
    counts: dict[str, int] = {}
    for split in summary["splits"].values():
        for reason, count in split["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _in_words(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in dropped.items())


def _write_quarantine(folder: str, quarantine_dir: str, label: str) -> str:
    """Writes the quarantined documents with their reasons to a file; returns its path.

    Documents that other rules dropped are only in the artifact's `Dropped/`.
    """
    os.makedirs(quarantine_dir, exist_ok=True)
    path = os.path.join(quarantine_dir, f"span-{label}.documents.jsonl")
    reasons = set(QUARANTINE_REASONS.values())
    lines = _dropped_lines(folder)
    write_whole(path, (line for line in lines if json.loads(line)["reason"] in reasons))
    return path


def _dropped_lines(folder: str) -> Iterator[str]:
    for file in sorted(pathlib.Path(folder, DROPPED_FOLDER).iterdir()):
        with open(file, encoding="utf-8") as stream:
            yield from stream


def _require_documents(summary: dict[str, Any], *, where: str, quarantine: str) -> None:
    """Refuses a span with too few documents for the next steps; DataGate judges shares."""
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
        f" and 1 are needed. Dropped: {_in_words(dropped)}.{listing}",
        where=where,
        remedy="Add documents, or relax the rules of cleaning or the bounds of validation.",
    )
