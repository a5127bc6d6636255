"""Is the text fit to train on? A curated schema, the statistics it needs, and a gate that raises.

TFX's ExampleValidator compares StatisticsGen's statistics with the schema and records anomalies,
but stops nothing. `DataGate` reads what it recorded, adds what a schema can't say (bounds over the
whole span, drift from the last approved span) and raises. TensorFlow Data Validation's own SQL
validations would do for the former, but are gone in its version 1.21.
"""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import DataApproval
from components.config import ValidationConfig
from components.corpus_statistics import (
    CorpusStatistics,
    corpus_statistics,
    feature_statistics,
)
from components.span_label import span_label
from models.config import from_json
from models.errors import DataRefused

SCHEMA_FILE = "schema.pbtxt"
CHECKS_FILE = "checks.json"
"""The gate's checks in its artifact's folder: JSON list of `Check`."""
_ANOMALIES_FILE = "SchemaDiff.pb"
_COMPARED_SPLIT = "train"  # the held-out split is too small to compare distributions
_EVERY_SPLIT = "all"

_FEATURES = {
    "source": schema_pb2.BYTES,
    "lang": schema_pb2.BYTES,
    "timestamp": schema_pb2.INT,
    "characters": schema_pb2.INT,
    "non_letter_share": schema_pb2.FLOAT,
    "replacement_share": schema_pb2.FLOAT,
    "duplicate": schema_pb2.INT,
}
_DRIFT_FIELDS = {
    "lang": "max_language_drift",
    "source": "max_source_drift",
    "characters": "max_length_drift",
}
_DISTANCES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L-infinity distance",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "Jensen-Shannon divergence",
}

_log = logging.getLogger("polyseme.data_validation")


@dataclasses.dataclass(frozen=True)
class Check:
    """One bound, and what was found.

    Attributes:
        split: `train`, `eval`, or `all` for a bound over the whole span.
        feature: name of the documents' feature, or `documents` for their number.
        value: what was found, as a reader wants it.
        bound: what is allowed.
        passed: whether it is.
        field: the field of ValidationConfig that sets the bound; empty if none does.
    """

    split: str
    feature: str
    value: str
    bound: str
    passed: bool
    field: str = ""

    def __str__(self) -> str:
        setting = f" (validation.{self.field})" if self.field else ""
        return f"split {self.split}, {self.feature}: {self.value}; bound: {self.bound}{setting}"


def _bare_schema() -> schema_pb2.Schema:
    """Names and types of the features that tell something about text, always one value each."""
    schema = schema_pb2.Schema()
    for name, kind in _FEATURES.items():
        feature = schema.feature.add(name=name, type=kind)
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.value_count.min = feature.value_count.max = 1
    return schema


def text_schema(config: ValidationConfig) -> schema_pb2.Schema:
    """The curated schema: every feature in every document, its domain, its allowed drift."""
    schema = _bare_schema()
    schema.dataset_constraints.min_examples_count = 1
    features = {feature.name: feature for feature in schema.feature}
    features["lang"].string_domain.value.extend(config.languages)
    features["characters"].int_domain.min = config.min_characters
    features["non_letter_share"].float_domain.max = config.max_non_letter_share
    features["replacement_share"].float_domain.max = config.max_replacement_share
    features["duplicate"].int_domain.min = 0
    features["duplicate"].int_domain.max = 1
    for name in ("lang", "source"):
        features[name].drift_comparator.infinity_norm.threshold = getattr(
            config, _DRIFT_FIELDS[name]
        )
    features[
        "characters"
    ].drift_comparator.jensen_shannon_divergence.threshold = config.max_length_drift
    return schema


def stats_options() -> tfdv.StatsOptions:
    """What StatisticsGen computes: numeric and categorical features, never texts and ids.

    Texts are not even read. The bounds are not in here, so that moving one doesn't compute the
    statistics anew.
    """
    return tfdv.StatsOptions(
        schema=_bare_schema(), experimental_filter_read_paths=True, num_top_values=50
    )


@component
def TextSchema(schema: OutputArtifact[Schema], config: Parameter[str]) -> None:
    """Writes the curated schema.

    Args:
        schema: the schema, as text.
        config: JSON of a ValidationConfig.
    """
    text = text_format.MessageToString(text_schema(from_json(ValidationConfig, config)))
    (pathlib.Path(schema.uri) / SCHEMA_FILE).write_text(text, encoding="utf-8")


@component
def DataGate(
    statistics: InputArtifact[ExampleStatistics],
    anomalies: InputArtifact[ExampleAnomalies],
    approval: OutputArtifact[DataApproval],
    config: Parameter[str],
    previous_statistics: InputArtifact[ExampleStatistics] = None,
) -> None:
    """Lets the span's documents pass, or raises.

    Args:
        statistics: StatisticsGen's, of this span.
        anomalies: ExampleValidator's, of these statistics.
        approval: written only if the gate opens: `checks.json`, the list of all checks.
        config: JSON of a ValidationConfig.
        previous_statistics: those of the last approved earlier span; absent in a first run.

    Raises:
        DataRefused: naming split, feature, value and bound of each check that failed.
    """
    checks = check_text(
        feature_statistics(statistics.uri),
        corpus_statistics(statistics.uri),
        _read_anomalies(anomalies.uri),
        feature_statistics(previous_statistics.uri) if previous_statistics else {},
        from_json(ValidationConfig, config),
    )
    refuse(checks, where=f"DataGate, span {span_label(statistics.span)}")
    approval.span = statistics.span
    approval.statistics_id = statistics.id
    text = json.dumps([dataclasses.asdict(check) for check in checks], indent=1)
    (pathlib.Path(approval.uri) / CHECKS_FILE).write_text(text, encoding="utf-8")
    _log.info(
        "span %s: %d checks of the text passed%s",
        span_label(statistics.span),
        len(checks),
        f", compared with span {span_label(previous_statistics.span)}"
        if previous_statistics
        else "",
    )


def refuse(checks: Sequence[Check], *, where: str) -> None:
    """Raises if a check failed.

    Raises:
        DataRefused: listing every check that failed.
    """
    failed = [check for check in checks if not check.passed]
    if not failed:
        return
    fields = sorted({f"validation.{check.field}" for check in failed if check.field})
    raise DataRefused(
        "\n".join(
            [f"the text is not fit to train on: {len(failed)} of {len(checks)} checks failed"]
            + [f"  {check}" for check in failed]
        ),
        where=where,
        remedy="mend or remove the documents"
        + (f", or move the bound on purpose: {', '.join(fields)}" if fields else ""),
    )


def check_text(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    corpus: CorpusStatistics,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    previous: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    config: ValidationConfig,
) -> list[Check]:
    """Every check of one span's documents.

    Args:
        statistics: of each split.
        corpus: the same as plain numbers.
        anomalies: of each split, as ExampleValidator found them with `text_schema`.
        previous: statistics of the span to compare with, by split; empty if there is none.
        config: the bounds.
    """
    checks = [
        check
        for split in corpus.splits
        for check in _document_checks(split, corpus, anomalies[split], config)
    ]
    train = corpus.splits[_COMPARED_SPLIT].documents
    checks.append(
        Check(
            split=_COMPARED_SPLIT,
            feature="documents",
            value=str(train),
            bound=f"at least {config.min_documents}",
            passed=train >= config.min_documents,
            field="min_documents",
        )
    )
    repeated = corpus.duplicate_share
    checks.append(
        Check(
            split=_EVERY_SPLIT,
            feature="duplicate",
            value=f"{repeated:.2%} of the documents repeat another one's text",
            bound=f"at most {config.max_duplicate_share:.2%}",
            passed=repeated <= config.max_duplicate_share,
            field="max_duplicate_share",
        )
    )
    if previous:
        checks.extend(_drift_checks(statistics[_COMPARED_SPLIT], previous[_COMPARED_SPLIT], config))
    return checks


def _document_checks(
    split: str,
    corpus: CorpusStatistics,
    anomalies: anomalies_pb2.Anomalies,
    config: ValidationConfig,
) -> list[Check]:
    """ExampleValidator's verdicts, with value and bound beside them."""
    found = corpus.splits[split]
    languages = ", ".join(f"{name} {share:.1%}" for name, share in found.languages.items())
    bounded = [
        Check(
            split,
            "characters",
            f"the shortest document has {found.min_characters:,}",
            f"at least {config.min_characters:,}",
            True,
            "min_characters",
        ),
        Check(
            split,
            "non_letter_share",
            f"up to {found.max_non_letter_share:.3f} of a document",
            f"at most {config.max_non_letter_share}",
            True,
            "max_non_letter_share",
        ),
        Check(
            split,
            "replacement_share",
            f"up to {found.max_replacement_share:.4f} of a document",
            f"at most {config.max_replacement_share}",
            True,
            "max_replacement_share",
        ),
        Check(split, "lang", languages, f"one of {', '.join(config.languages)}", True, "languages"),
    ]
    verdicts = {
        name: "; ".join(reason.description.strip(". ") for reason in info.reason)
        for name, info in anomalies.anomaly_info.items()
        if info.severity != anomalies_pb2.AnomalyInfo.WARNING
    }
    if anomalies.HasField("dataset_anomaly_info"):
        verdicts["documents"] = anomalies.dataset_anomaly_info.description
    checks = []
    for check in bounded:
        verdict = verdicts.pop(check.feature, None)
        if verdict is not None:
            check = dataclasses.replace(check, value=f"{check.value} ({verdict})", passed=False)
        checks.append(check)
    checks.extend(
        Check(split, feature, verdict, "the schema's", passed=False)
        for feature, verdict in sorted(verdicts.items())
    )
    return checks


def _drift_checks(
    current: statistics_pb2.DatasetFeatureStatisticsList,
    previous: statistics_pb2.DatasetFeatureStatisticsList,
    config: ValidationConfig,
) -> list[Check]:
    """Distances of this span's distributions from the previous one's, TFDV's drift comparators."""
    compared = tfdv.validate_statistics(current, text_schema(config), previous_statistics=previous)
    return [
        Check(
            split=_COMPARED_SPLIT,
            feature=info.path.step[0],
            value=f"{measured.value:.3f} from the last approved span's "
            f"({_DISTANCES[measured.type]})",
            bound=f"at most {measured.threshold:.3g}",
            passed=measured.value <= measured.threshold,
            field=_DRIFT_FIELDS[info.path.step[0]],
        )
        for info in compared.drift_skew_info
        for measured in info.drift_measurements
    ]


def _read_anomalies(uri: str) -> dict[str, anomalies_pb2.Anomalies]:
    return {
        file.parent.name.removeprefix("Split-"): anomalies_pb2.Anomalies.FromString(
            file.read_bytes()
        )
        for file in pathlib.Path(uri).glob(f"Split-*/{_ANOMALIES_FILE}")
    }
