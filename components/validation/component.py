"""TextSchema and DataGate: refuse a span whose documents are not fit to train on.

TFX's ExampleValidator compares StatisticsGen's statistics with a schema and records anomalies, but
does not stop the pipeline. `DataGate` reads these anomalies and the counts of ingestion and
cleaning, adds bounds on the whole span and on its drift from the last approved span, and raises.
TextCleaner quarantines single documents before that, so that a span is not refused for one odd
document (docs/decisions/0031-what-the-data-gate-judges.md).
"""

import itertools
import json
import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema

from components.artifacts import DataApproval
from components.config import ValidationConfig
from components.layout import (
    CLEANING_FILE,
    EVAL,
    INGESTION_FILE,
    QUARANTINE_FILE,
    QUARANTINE_REASONS,
    SPLIT_PREFIX,
    TEST,
    TRAIN,
    split_of,
)
from components.lineage.span_label import span_label
from components.validation.corpus_statistics import (
    CorpusStatistics,
    corpus_statistics,
    feature_statistics,
)
from components.validation.data_drift import drift_checks
from components.validation.gate_checks import Check, approve, refuse_if_failed, share_check
from components.validation.ingestion_checks import malformed_check, unreadable_check
from models.settings import from_json

SCHEMA_FILE = "schema.pbtxt"
_ANOMALIES_FILE = "SchemaDiff.pb"
_COMPARED_SPLIT = TRAIN  # the held-out split is too small to compare distributions
_LISTED = 3  # examples of dropped documents in a check

_FEATURES = {
    "source": schema_pb2.BYTES,
    "lang": schema_pb2.BYTES,
    "timestamp": schema_pb2.INT,
    "characters": schema_pb2.INT,
    "non_letter_share": schema_pb2.FLOAT,
    "replacement_share": schema_pb2.FLOAT,
    "duplicate": schema_pb2.INT,
}

_log = logging.getLogger("polyseme.data_validation")


def text_schema() -> schema_pb2.Schema:
    """The schema: every document has exactly one value of every feature, of the right type."""
    schema = schema_pb2.Schema()
    schema.dataset_constraints.min_examples_count = 1
    for name, kind in _FEATURES.items():
        feature = schema.feature.add(name=name, type=kind)
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.value_count.min = feature.value_count.max = 1
    return schema


def stats_options() -> tfdv.StatsOptions:
    """StatisticsGen's options: numeric and categorical features; texts and ids are not read."""
    schema = text_schema()
    schema.ClearField("dataset_constraints")
    return tfdv.StatsOptions(
        schema=schema,
        experimental_filter_read_paths=True,
        num_top_values=50,
        num_quantiles_histogram_buckets=100,  # for comparing lengths
    )


@component
def TextSchema(schema: OutputArtifact[Schema]) -> None:
    """Writes `text_schema()`.

    Args:
        schema: receives the schema in text format.
    """
    text = text_format.MessageToString(text_schema())
    (pathlib.Path(schema.uri) / SCHEMA_FILE).write_text(text, encoding="utf-8")


@component
def DataGate(
    documents: InputArtifact[Examples],
    cleaned: InputArtifact[Examples],
    statistics: InputArtifact[ExampleStatistics],
    anomalies: InputArtifact[ExampleAnomalies],
    approval: OutputArtifact[DataApproval],
    config: Parameter[str],
    max_malformed_share: Parameter[float],
    allow_unreadable: Parameter[str],
    max_dropped_share: Parameter[float],
    needs_eval_split: Parameter[int],
    quarantine_dir: Parameter[str],
    previous_statistics: InputArtifact[ExampleStatistics] = None,
) -> None:
    """Approves the documents of a span, or raises.

    Args:
        documents: TextExampleGen's, with `ingestion.json` and `quarantine.jsonl`.
        cleaned: TextCleaner's, with `cleaning.json`.
        statistics: StatisticsGen's, of the documents before cleaning.
        anomalies: ExampleValidator's, of these statistics.
        approval: receives `checks.json`, the list of all checks, if all of them pass.
        config: a ValidationConfig as JSON.
        max_malformed_share: `ingestion.max_quarantine_share`.
        allow_unreadable: `ingestion.allow_unreadable`, as JSON.
        max_dropped_share: `cleaning.max_dropped_share`.
        needs_eval_split: whether training evaluates on the split "eval", which must then have a
            document.
        quarantine_dir: receives `span-<label>.DataGate.json` if a check fails.
        previous_statistics: the last approved earlier span's; absent in a first run.

    Raises:
        DataRefused: a check failed; the message has split, feature, value and bound of each.
    """
    bounds = from_json(ValidationConfig, config)
    ingested = _load(documents.uri, INGESTION_FILE)
    cleaned_summary = _load(cleaned.uri, CLEANING_FILE)
    malformed = os.path.join(documents.uri, QUARANTINE_FILE)
    unreadable = unreadable_check(ingested, json.loads(allow_unreadable))
    checks = [
        unreadable,
        malformed_check(ingested, malformed, max_malformed_share),
        *_cleaning_checks(cleaned_summary, bounds, max_dropped_share),
        *([_eval_check(cleaned_summary)] if needs_eval_split else []),
        *check_text(
            feature_statistics(statistics.uri),
            corpus_statistics(statistics.uri),
            _read_anomalies(anomalies.uri),
            feature_statistics(previous_statistics.uri) if previous_statistics else {},
            bounds,
        ),
    ]
    refuse_if_failed(
        checks,
        {"ingestion": ingested, "cleaning": cleaned_summary},
        gate="DataGate",
        span=statistics.span,
        folder=quarantine_dir,
    )
    approval.span = statistics.span
    approval.statistics_id = statistics.id
    approval.cleaned_id = cleaned.id
    approve(checks, approval.uri)
    label = span_label(statistics.span)
    for loss in unreadable.examples:
        _log.warning("span %s: allowed although unreadable: %s", label, loss)
    compared = ""
    if previous_statistics:
        compared = f", compared with span {span_label(previous_statistics.span)}"
    _log.info("span %s: %d checks of the text passed%s", label, len(checks), compared)


def _cleaning_checks(
    summary: Mapping[str, Any], config: ValidationConfig, max_dropped_share: float
) -> list[Check]:
    """Checks of the shares of quarantined and dropped documents, and of the numbers left."""
    splits = summary["splits"].values()
    total = sum(split["documents"] for split in splits)
    quarantined = sum(split["quarantined"] for split in splits)
    dropped = sum(sum(split["dropped"].values()) for split in splits) - quarantined
    train, test = (summary["splits"][split]["kept"] for split in (_COMPARED_SPLIT, TEST))
    reasons = {
        reason: sum(split["dropped"].get(reason, 0) for split in splits)
        for reason in summary["examples"]
    }
    quarantine_reasons = {
        reason: reasons[reason] for reason in QUARANTINE_REASONS.values() if reasons.get(reason)
    }
    drop_reasons = {
        reason: count for reason, count in reasons.items() if reason not in quarantine_reasons
    }
    return [
        share_check(
            "quarantined documents" + _in_words(quarantine_reasons),
            quarantined,
            total,
            config.max_quarantine_share,
            field="validation.max_quarantine_share",
            examples=_examples(summary, quarantine_reasons),
        ),
        share_check(
            "dropped documents" + _in_words(drop_reasons),
            dropped,
            total,
            max_dropped_share,
            field="cleaning.max_dropped_share",
            examples=_examples(summary, drop_reasons),
        ),
        _count_check(
            _COMPARED_SPLIT,
            train,
            config.min_documents,
            field="validation.min_documents",
            remedy="add documents",
        ),
        _count_check(
            TEST,
            test,
            config.min_test_documents,
            field="validation.min_test_documents",
            remedy="add documents, or raise ingestion.test_share under another pipeline name",
        ),
    ]


def _eval_check(summary: Mapping[str, Any]) -> Check:
    """A check that the split "eval" has a document."""
    return _count_check(
        EVAL,
        summary["splits"][EVAL]["kept"],
        1,
        purpose=", for evaluation during training",
        remedy="raise ingestion.eval_share, or train without eval_steps, tuning and seeds",
    )


def _count_check(
    split: str, documents: int, minimum: int, *, remedy: str, field: str = "", purpose: str = ""
) -> Check:
    """A check of the number of documents that cleaning leaves in a split."""
    return Check(
        split=split,
        feature="documents",
        value=f"{documents:,} after cleaning",
        bound=f"at least {minimum:,}{purpose}",
        passed=documents >= minimum,
        field=field,
        remedy=remedy,
    )


def _in_words(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return f" ({', '.join(f'{count:,} {reason}' for reason, count in ordered)})" if ordered else ""


def _examples(summary: Mapping[str, Any], reasons: Mapping[str, int]) -> list[str]:
    """A few documents, alternating between the reasons, the most frequent reason first."""
    ordered = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    turns = itertools.zip_longest(*(summary["examples"][reason] for reason in ordered))
    documents = (document for turn in turns for document in turn if document is not None)
    return [
        f"{document['id']}: {document['reason']}, {document['detail']}"
        for document in itertools.islice(documents, _LISTED)
    ]


def check_text(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    corpus: CorpusStatistics,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    previous: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    config: ValidationConfig,
) -> list[Check]:
    """The checks of a span's statistics.

    Args:
        statistics: TFX's statistics, by split.
        corpus: the same statistics as plain numbers.
        anomalies: ExampleValidator's anomalies by split, under `text_schema`.
        previous: statistics of the span to compare with, by split; empty if there is none.
        config: the bounds.
    """
    checks = [check for split in corpus.splits for check in _schema_checks(split, anomalies[split])]
    duplicate_share = corpus.duplicate_share
    checks.append(
        Check(
            split="all",
            feature="duplicate",
            value=f"{duplicate_share:.2%} of the documents are exact duplicates",
            bound=f"at most {config.max_duplicate_share:.2%}",
            passed=duplicate_share <= config.max_duplicate_share,
            field="validation.max_duplicate_share",
        )
    )
    if previous:
        checks.extend(
            drift_checks(
                statistics[_COMPARED_SPLIT], previous[_COMPARED_SPLIT], _COMPARED_SPLIT, config
            )
        )
    return checks


def _schema_checks(split: str, anomalies: anomalies_pb2.Anomalies) -> list[Check]:
    """ExampleValidator's verdicts."""
    verdicts = {
        name: "; ".join(reason.description.strip(". ") for reason in info.reason)
        for name, info in anomalies.anomaly_info.items()
        if info.severity != anomalies_pb2.AnomalyInfo.WARNING
    }
    if anomalies.HasField("dataset_anomaly_info"):
        verdicts["documents"] = anomalies.dataset_anomaly_info.description
    if not verdicts:
        return [Check(split, "schema", "every feature in every document", "the schema's", True)]
    return [
        Check(split, feature, verdict, "the schema's", passed=False)
        for feature, verdict in sorted(verdicts.items())
    ]


def _load(folder: str, name: str) -> Any:
    return json.loads(pathlib.Path(folder, name).read_text(encoding="utf-8"))


def _read_anomalies(uri: str) -> dict[str, anomalies_pb2.Anomalies]:
    return {
        split_of(file): anomalies_pb2.Anomalies.FromString(file.read_bytes())
        for file in pathlib.Path(uri).glob(f"{SPLIT_PREFIX}*/{_ANOMALIES_FILE}")
    }
