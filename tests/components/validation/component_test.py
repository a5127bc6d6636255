"""Tests of DataGate on the real output of TFX's StatisticsGen and ExampleValidator."""

import json
import pathlib
import shutil

import pytest
from google.protobuf import text_format
from ml_metadata import MetadataStore
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components import ExampleValidator
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema

from components.artifacts import DataApproval
from components.lineage.resolvers import LastApprovedStatistics
from components.validation.component import (
    SCHEMA_FILE,
    DataGate,
    TextSchema,
)
from components.validation.corpus_statistics import STATISTICS_FILE, corpus_statistics
from components.validation.gate_checks import CHECKS_FILE, Check
from models.errors import DataRefused
from tests.components.written_statistics import (
    CLEANED,
    INGESTED,
    artifact_in,
    validation,
    write_counts,
    write_statistics,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    """The folder of the statistics that StatisticsGen computed."""
    return write_statistics(tmp_path_factory.mktemp("statistics"))


def _validate(statistics, folder: pathlib.Path) -> ExampleAnomalies:
    schema = artifact_in(Schema, folder / "schema")
    TextSchema.test_call(schema=schema)
    anomalies = artifact_in(ExampleAnomalies, folder / "anomalies")
    ExampleValidator.EXECUTOR_SPEC.executor_class().Do(
        {"statistics": [statistics], "schema": [schema]},
        {"anomalies": [anomalies]},
        {"exclude_splits": "[]"},
    )
    return anomalies


def _gate(
    written,
    folder,
    config,
    *,
    previous=None,
    max_malformed_share=0.05,
    max_dropped_share=0.5,
    needs_eval_split=False,
    span=7,
) -> tuple[list[Check], DataApproval]:
    statistics = artifact_in(
        ExampleStatistics, written, 42, split_names='["train", "test"]', span=span
    )
    approval = artifact_in(DataApproval, folder / "approval")
    documents, cleaned = write_counts(folder)
    DataGate.test_call(
        documents=documents,
        cleaned=cleaned,
        statistics=statistics,
        anomalies=_validate(statistics, folder),
        approval=approval,
        config=config,
        max_malformed_share=max_malformed_share,
        allow_unreadable="[]",
        max_dropped_share=max_dropped_share,
        needs_eval_split=int(needs_eval_split),
        quarantine_dir=str(folder / "quarantine"),
        previous_statistics=previous and artifact_in(ExampleStatistics, previous, 41, span=6),
    )
    checks = json.loads((folder / "approval" / CHECKS_FILE).read_text())
    return [Check(**check) for check in checks], approval


def test_statistics_in_plain_numbers(written):
    corpus = corpus_statistics(str(written))
    train, held_out = corpus.splits["train"], corpus.splits["test"]
    assert list(corpus.splits) == ["train", "test"]
    assert (train.documents, held_out.documents, corpus.documents) == (30, 5, 35)
    assert (train.characters, held_out.characters, corpus.characters) == (3435, 350, 3785)
    assert (train.min_characters, train.max_characters) == (100, 129)
    assert held_out.median_characters == 70
    assert train.languages == {"en": 0.8, "zh": 0.2}
    assert train.sources == {"diary": 0.8, "letters": 0.2}
    assert train.max_non_letter_share == 0.25
    assert train.mean_non_letter_share == pytest.approx((29 * 0.125 + 0.25) / 30)
    assert train.duplicate_share == pytest.approx(1 / 30)
    assert corpus.duplicate_share == pytest.approx(1 / 35)
    assert (train.length_edges[0], train.length_edges[-1]) == (100, 129)
    assert len(train.length_edges) == len(train.length_counts) + 1
    assert sum(train.length_counts) == pytest.approx(30)


def test_texts_and_ids_are_not_in_the_statistics(written):
    file = written / "Split-train" / STATISTICS_FILE
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
    assert {feature.path.step[0] for feature in statistics.datasets[0].features} == {
        "source",
        "lang",
        "timestamp",
        "characters",
        "non_letter_share",
        "replacement_share",
        "duplicate",
    }


def test_the_schema_requires_every_feature_in_every_document(tmp_path):
    schema = artifact_in(Schema, tmp_path)
    TextSchema.test_call(schema=schema)
    written = text_format.Parse((tmp_path / SCHEMA_FILE).read_text(), schema_pb2.Schema())
    assert [feature.name for feature in written.feature][:3] == ["source", "lang", "timestamp"]
    assert all(feature.presence.min_fraction == 1 for feature in written.feature)


def test_good_text_is_approved_with_all_checks(written, tmp_path):
    checks, approval = _gate(written, tmp_path, validation())
    assert (approval.span, approval.statistics_id, approval.cleaned_id) == (7, 42, 43)
    assert all(check.passed for check in checks)
    assert [(check.split, check.feature) for check in checks] == [
        ("all", "unreadable files"),
        ("all", "malformed records"),
        ("all", "quarantined documents (1 too short)"),
        ("all", "dropped documents (2 duplicate)"),
        ("train", "documents"),
        ("test", "documents"),
        ("train", "schema"),
        ("test", "schema"),
        ("all", "duplicate"),
    ]
    assert not (tmp_path / "quarantine").exists()


@pytest.mark.parametrize(
    ("bounds", "setting", "value", "bound", "example"),
    [
        (
            {"max_malformed_share": 0.02},
            "ingestion.max_quarantine_share",
            "split all, malformed records: 1 of 38, 2.63%",
            "at most 2.00%",
            "a.jsonl:7 not JSON: column 2",
        ),
        (
            {"max_quarantine_share": 0.02},
            "validation.max_quarantine_share",
            "split all, quarantined documents (1 too short): 1 of 37, 2.70%",
            "at most 2.00%",
            "s: too short, 2 characters",
        ),
        (
            {"max_dropped_share": 0.05},
            "cleaning.max_dropped_share",
            "split all, dropped documents (2 duplicate): 2 of 37, 5.41%",
            "at most 5.00%",
            "d: duplicate, of e",
        ),
        *(
            ({name: minimum}, f"validation.{name}", f"split {value} after cleaning", bound, None)
            for name, value, minimum, bound in (
                ("min_documents", "train, documents: 28", 31, "at least 31"),
                ("min_test_documents", "test, documents: 6", 7, "at least 7"),
            )
        ),
        (
            {"max_duplicate_share": 0.02},
            "validation.max_duplicate_share",
            "split all, duplicate: 2.86% of the documents are exact duplicates",
            "at most 2.00%",
            None,
        ),
    ],
)
def test_a_violated_bound_is_named_with_its_value_and_the_evidence_is_kept(
    written, tmp_path, bounds, setting, value, bound, example
):
    others = {k: bounds.pop(k) for k in ("max_malformed_share", "max_dropped_share") if k in bounds}
    with pytest.raises(DataRefused) as refused:
        _gate(written, tmp_path, validation(**bounds), span=739007, **others)
    summary, failed, *examples, last = refused.value.what.split("\n")
    assert summary == "the text is not fit to train on: 1 of 9 checks failed"
    assert failed == f"  {value}; bound: {bound} ({setting})"
    assert examples == ([f"    {example}"] if example else [])
    evidence = tmp_path / "quarantine" / "span-2024-05-01.DataGate.json"
    assert last == f"  all checks and the numbers behind them are in {evidence}"
    kept = json.loads(evidence.read_text())
    assert [check["field"] for check in kept["checks"] if not check["passed"]] == [setting]
    assert (kept["ingestion"], kept["cleaning"]) == (INGESTED, CLEANED)
    assert refused.value.where == "DataGate, span 2024-05-01"
    assert refused.value.remedy.endswith(setting)
    assert not list((tmp_path / "approval").iterdir())


def _rewritten(written: pathlib.Path, folder: pathlib.Path, edit) -> pathlib.Path:
    """Copies the statistics, and calls `edit` on each feature of the train split."""
    shutil.copytree(written, folder)
    file = folder / "Split-train" / STATISTICS_FILE
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
    for feature in list(statistics.datasets[0].features):
        edit(statistics.datasets[0].features, feature)
    file.write_bytes(statistics.SerializeToString())
    return folder


def test_the_split_eval_must_have_documents_if_training_needs_it(written, tmp_path):
    with pytest.raises(DataRefused, match="split eval, documents: 0 after cleaning") as refused:
        _gate(written, tmp_path, validation(), needs_eval_split=True)
    assert "raise ingestion.eval_share" in str(refused.value)


def test_a_missing_feature_is_refused(written, tmp_path):
    def edit(features, feature):
        if feature.path.step[0] == "timestamp":
            features.remove(feature)

    with pytest.raises(DataRefused, match="split train, timestamp: Column is completely missing"):
        _gate(_rewritten(written, tmp_path / "edited", edit), tmp_path, validation())


def _swap_languages(_, feature):
    """Makes 80 % of the documents Chinese."""
    if feature.path.step[0] == "lang":
        english, chinese = feature.string_stats.rank_histogram.buckets
        english.label, chinese.label = chinese.label, english.label


def test_drift_from_the_previous_span_is_measured_beyond_chance(written, tmp_path):
    checks, _ = _gate(written, tmp_path / "same", validation(), previous=written)
    drift = {check.feature: check for check in checks[9:]}
    assert set(drift) == {"lang", "source", "characters"}
    assert drift["lang"].value.startswith(
        "language share 0.000 from the last approved span's ('en': 80.0% → 80.0%); chance explains"
        " 0.503 with 30 and 30 documents"
    )
    swapped = _rewritten(written, tmp_path / "previous", _swap_languages)
    _gate(written, tmp_path / "few", validation(), previous=swapped)
    with pytest.raises(DataRefused) as refused:
        _gate(written, tmp_path / "swapped", validation(max_language_drift=0.09), previous=swapped)
    assert "1 of 12 checks failed" in refused.value.what
    assert "language share 0.600 from the last" in refused.value.what
    assert "at most 0.09 beyond chance (validation.max_language_drift)" in refused.value.what


@component
def CopyStatistics(
    statistics: OutputArtifact[ExampleStatistics], span: Parameter[int], folder: Parameter[str]
) -> None:
    """Replaces StatisticsGen, whose Beam pipeline takes seconds, by a copy of its output."""
    shutil.copytree(folder, statistics.uri, dirs_exist_ok=True)
    statistics.span = span
    statistics.split_names = '["train", "test"]'


@component
def CopyCounts(
    documents: OutputArtifact[Examples], cleaned: OutputArtifact[Examples], folder: Parameter[str]
) -> None:
    """Replaces TextExampleGen and TextCleaner by copies of their counts."""
    for name, artifact in (("documents", documents), ("cleaned", cleaned)):
        shutil.copytree(pathlib.Path(folder) / name, artifact.uri, dirs_exist_ok=True)


@pytest.fixture
def run(written, tmp_path):
    """Runs the pipeline up to the gate; returns the span it compared with, and its state."""
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    write_counts(tmp_path / "counts")

    def run_once(span: int, **bounds) -> tuple[int | None, str]:
        config = validation(**bounds)
        counts = CopyCounts(folder=str(tmp_path / "counts"))
        last = Resolver(
            strategy_class=LastApprovedStatistics,
            config={"span": span},
            statistics=Channel(
                type=ExampleStatistics,
                producer_component_id="CopyStatistics",
                output_key="statistics",
            ),
            approval=Channel(
                type=DataApproval, producer_component_id="DataGate", output_key="approval"
            ),
        ).with_id("LastApprovedStatistics")
        statistics = CopyStatistics(span=span, folder=str(written))
        schema = TextSchema()
        validator = ExampleValidator(
            statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
        )
        gate = DataGate(
            documents=counts.outputs["documents"],
            cleaned=counts.outputs["cleaned"],
            statistics=statistics.outputs["statistics"],
            anomalies=validator.outputs["anomalies"],
            previous_statistics=last.outputs["statistics"],
            config=config,
            max_malformed_share=0.05,
            allow_unreadable="[]",
            max_dropped_share=0.5,
            needs_eval_split=0,
            quarantine_dir=str(tmp_path / "quarantine"),
        )
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="validating",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[counts, last, statistics, schema, validator, gate],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        store = MetadataStore(connection)
        (kind,) = [t for t in store.get_execution_types() if t.name.endswith(".DataGate")]
        execution = max(store.get_executions_by_type(kind.name), key=lambda e: e.id)
        compared = [
            store.get_artifacts_by_id([event.artifact_id])[0].properties["span"].int_value
            for event in store.get_events_by_execution_ids([execution.id])
            if event.path.steps[0].key == "previous_statistics"
        ]
        return (compared or [None])[0], type(execution).State.Name(execution.last_known_state)

    return run_once


def test_a_span_is_compared_with_the_last_approved_one_and_a_rerun_is_a_cache_hit(run):
    assert run(1) == (None, "COMPLETE")
    assert run(1) == (None, "CACHED")
    with pytest.raises(DataRefused, match="bound: at least 99"):
        run(2, min_documents=99)
    assert run(3) == (1, "COMPLETE"), "span 2 was refused"
    assert run(1) == (None, "CACHED")
    assert run(3) == (1, "CACHED")
    assert run(4) == (3, "COMPLETE")
