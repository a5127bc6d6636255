"""TextCleaner: drops documents that are not to be trained on, counted by reason (law 8)."""

import itertools
import json
import logging
import os
import shutil
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

from components.cleaning import SCRATCH, SUMMARY, clean
from components.config import CleaningConfig
from components.evaluation_texts import read_evaluation_texts
from components.ingestion import SPLITS
from components.span_label import LABEL_PROPERTY, span_label
from models.config import from_json
from models.errors import DataRefused

_LISTED = 3
_LOG = logging.getLogger("polyseme.text_cleaner")


@component(use_beam=True)
def TextCleaner(
    documents: InputArtifact[standard_artifacts.Examples],
    cleaned: OutputArtifact[standard_artifacts.Examples],
    config: Parameter[str],
    evaluation: Parameter[str],
    span: Parameter[int],
    unkeyed: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Drops duplicates, near duplicates, evaluation texts, foreign and unfit documents.

    Args:
        documents: what TextExampleGen wrote.
        cleaned: receives the same shards without what is dropped, `Dropped/` with all that was,
            and `cleaning.json`: for each split its documents and the dropped ones by reason.
        config: a `CleaningConfig` as JSON.
        evaluation: fingerprint of the evaluation texts, so that changed ones are no cache hit.
        span: the span's number.
        unkeyed: JSON of the settings that no key holds: the paths of the evaluation texts.
        beam_pipeline: given by TFX.

    Raises:
        DataRefused: too much was dropped, or too few documents are left; an evaluation text cannot
            be read.
    """
    settings = from_json(CleaningConfig, json.dumps(json.loads(config) | json.loads(unkeyed)))
    label = span_label(span, documents.get_string_custom_property(LABEL_PROPERTY))
    scratch = os.path.join(cleaned.uri, SCRATCH)
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
    with beam_pipeline as pipeline:
        clean(pipeline, documents.uri, cleaned.uri, settings, seen)
    shutil.rmtree(scratch)
    with open(os.path.join(cleaned.uri, SUMMARY), encoding="utf-8") as stream:
        summary = json.load(stream)
    _gate(summary, settings, where=documents.uri)
    cleaned.split_names = json.dumps(SPLITS)
    cleaned.span = span
    for name in ("span", LABEL_PROPERTY, "payload_format", "file_format"):
        cleaned.set_string_custom_property(name, documents.get_string_custom_property(name))
    dropped = _dropped(summary)
    _LOG.info(
        "span %s: %s documents to train on, %s held out%s",
        label,
        *(f"{summary['splits'][split]['kept']:,}" for split in SPLITS),
        f"; dropped {_told(dropped)}" if dropped else "; none dropped",
    )


def _dropped(summary: dict[str, Any]) -> dict[str, int]:
    """Documents dropped by reason, the most frequent first."""
    counts: dict[str, int] = {}
    for split in summary["splits"].values():
        for reason, count in split["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _told(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in dropped.items())


def _gate(summary: dict[str, Any], config: CleaningConfig, *, where: str) -> None:
    dropped = _dropped(summary)
    train, held_out = (summary["splits"][split]["kept"] for split in SPLITS)
    number, total = sum(dropped.values()), sum(dropped.values()) + train + held_out
    examples = itertools.chain.from_iterable(summary["examples"][reason] for reason in dropped)
    listing = "".join(
        f"\n  {item['id']}: {item['reason']}, {item['detail']}"
        for item in itertools.islice(examples, _LISTED)
    )
    if number > config.max_dropped_share * total:
        raise DataRefused(
            f"{number:,} of {total:,} documents would be dropped: {_told(dropped)};"
            f" cleaning.max_dropped_share is {config.max_dropped_share:.0%}.{listing}",
            where=where,
            remedy="Look at the documents, then loosen the rule, or raise max_dropped_share.",
        )
    if train < 2 or not held_out:
        raise DataRefused(
            f"Too few documents are left: {train} to train on and {held_out} held out; at least 2"
            f" and 1 are needed. Dropped: {_told(dropped)}.{listing}",
            where=where,
            remedy="Add documents, or loosen the rules of cleaning.",
        )
