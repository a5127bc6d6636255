"""The gate over what TFX's StatisticsGen and ExampleValidator really write."""

import dataclasses
import json
import pathlib
import shutil

import pytest
import tensorflow as tf
from google.protobuf import text_format
from ml_metadata import MetadataStore
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components import ExampleValidator, StatisticsGen
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema

from components.artifacts import DataApproval
from components.config import ValidationConfig
from components.corpus_statistics import STATISTICS_FILE, corpus_statistics
from components.data_validation import (
    CHECKS_FILE,
    SCHEMA_FILE,
    Check,
    DataGate,
    TextSchema,
    stats_options,
)
from components.resolvers import LastApprovedStatistics
from models.errors import DataRefused

# Thirty train documents (24 en from a diary, 6 zh from letters; lengths 100 to 129), five held out.
TRAIN = [("en", "diary", 100 + n) for n in range(24)] + [
    ("zh", "letters", 124 + n) for n in range(6)
]
EVAL = [("en", "diary", length) for length in (50, 60, 70, 80, 90)]


def _feature(value: str | int | float) -> tf.train.Feature:
    if isinstance(value, str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def _example(lang: str, source: str, characters: int) -> bytes:
    values = {
        "id": f"{source}-{characters}",
        "text": "x" * characters,
        "source": source,
        "lang": lang,
        "timestamp": 0,
        "characters": characters,
        "non_letter_share": 0.25 if characters == 110 else 0.125,
        "replacement_share": 0.0,
        "duplicate": 1 if characters == 129 else 0,
    }
    features = tf.train.Features(feature={name: _feature(v) for name, v in values.items()})
    return tf.train.Example(features=features).SerializeToString()


def _artifact(kind, folder: pathlib.Path, identity: int = 0, **properties):
    artifact = kind()
    artifact.uri = str(folder)
    artifact.id = identity
    for name, value in properties.items():
        setattr(artifact, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    return artifact


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    """The folder of statistics that StatisticsGen itself computed over the documents."""
    folder = tmp_path_factory.mktemp("statistics")
    examples = _artifact(Examples, folder / "examples", split_names='["train", "eval"]', span=7)
    for split, documents in (("train", TRAIN), ("eval", EVAL)):
        shard = folder / "examples" / f"Split-{split}" / "documents-00000-of-00001.tfrecord.gz"
        shard.parent.mkdir()
        with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
            for document in documents:
                writer.write(_example(*document))
    statistics = _artifact(ExampleStatistics, folder / "out")
    StatisticsGen.EXECUTOR_SPEC.executor_class().Do(
        {"examples": [examples]},
        {"statistics": [statistics]},
        {"stats_options_json": stats_options().to_json(), "exclude_splits": "[]"},
    )
    assert statistics.span == 7, "the resolvers and the gate read the span off the statistics"
    return folder / "out"


def _config(**bounds) -> str:
    return json.dumps(dataclasses.asdict(ValidationConfig(**{"max_duplicate_share": 0.1} | bounds)))


def _validate(statistics, config: str, folder: pathlib.Path) -> ExampleAnomalies:
    schema = _artifact(Schema, folder / "schema")
    TextSchema.test_call(schema=schema, config=config)
    anomalies = _artifact(ExampleAnomalies, folder / "anomalies")
    ExampleValidator.EXECUTOR_SPEC.executor_class().Do(
        {"statistics": [statistics], "schema": [schema]},
        {"anomalies": [anomalies]},
        {"exclude_splits": "[]"},
    )
    return anomalies


def _gate(written, folder, config, *, previous=None, span=7) -> tuple[list[Check], DataApproval]:
    statistics = _artifact(
        ExampleStatistics, written, 42, split_names='["train", "eval"]', span=span
    )
    approval = _artifact(DataApproval, folder / "approval")
    DataGate.test_call(
        statistics=statistics,
        anomalies=_validate(statistics, config, folder),
        approval=approval,
        config=config,
        previous_statistics=previous and _artifact(ExampleStatistics, previous, 41, span=6),
    )
    checks = json.loads((folder / "approval" / CHECKS_FILE).read_text())
    return [Check(**check) for check in checks], approval


def test_statistics_in_plain_numbers(written):
    corpus = corpus_statistics(str(written))
    train, held_out = corpus.splits["train"], corpus.splits["eval"]
    assert list(corpus.splits) == ["train", "eval"]
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


def test_the_schema_holds_the_configured_bounds(tmp_path):
    schema = _artifact(Schema, tmp_path)
    config = _config(languages=("zh",), min_characters=5, max_non_letter_share=0.5)
    TextSchema.test_call(schema=schema, config=config)
    written = text_format.Parse((tmp_path / SCHEMA_FILE).read_text(), schema_pb2.Schema())
    features = {feature.name: feature for feature in written.feature}
    assert list(features["lang"].string_domain.value) == ["zh"]
    assert features["characters"].int_domain.min == 5
    assert features["non_letter_share"].float_domain.max == 0.5
    assert all(feature.presence.min_fraction == 1 for feature in written.feature)


def test_good_text_passes_and_the_approval_says_what_was_seen(written, tmp_path):
    checks, approval = _gate(written, tmp_path, _config())
    assert (approval.span, approval.statistics_id) == (7, 42)
    assert all(check.passed for check in checks)
    assert [(check.split, check.feature) for check in checks] == [
        (split, feature)
        for split in ("train", "eval")
        for feature in ("characters", "non_letter_share", "replacement_share", "lang")
    ] + [("train", "documents"), ("all", "duplicate")]


@pytest.mark.parametrize(
    ("bounds", "found", "bound"),
    [
        ({"languages": ("en",)}, "split train, lang: en 80.0%, zh 20.0%", "one of en"),
        (
            {"min_characters": 60},
            "split eval, characters: the shortest document has 50",
            "at least 60",
        ),
        (
            {"max_non_letter_share": 0.2},
            "split train, non_letter_share: up to 0.250 of a document",
            "at most 0.2",
        ),
        ({"min_documents": 31}, "split train, documents: 30", "at least 31"),
        (
            {"max_duplicate_share": 0.02},
            "split all, duplicate: 2.86% of the documents repeat another one's text",
            "at most 2.00%",
        ),
    ],
)
def test_a_broken_bound_is_named_with_split_feature_value_and_bound(
    written, tmp_path, bounds, found, bound
):
    with pytest.raises(DataRefused) as refused:
        _gate(written, tmp_path, _config(**bounds), span=739007)
    summary, said = refused.value.what.split("\n")
    setting = f"validation.{next(iter(bounds))}"
    assert summary == "the text is not fit to train on: 1 of 10 checks failed"
    assert said.startswith(f"  {found}")
    assert said.endswith(f"; bound: {bound} ({setting})")
    assert refused.value.where == "DataGate, span 2024-05-01"
    assert refused.value.remedy.endswith(setting)
    assert not list((tmp_path / "approval").iterdir())


def _rewritten(written: pathlib.Path, folder: pathlib.Path, edit) -> pathlib.Path:
    """A copy of the statistics whose train split `edit` changed, feature by feature."""
    shutil.copytree(written, folder)
    file = folder / "Split-train" / STATISTICS_FILE
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
    for feature in list(statistics.datasets[0].features):
        edit(statistics.datasets[0].features, feature)
    file.write_bytes(statistics.SerializeToString())
    return folder


def test_replacement_characters_are_refused(written, tmp_path):
    def edit(_, feature):
        if feature.path.step[0] == "replacement_share":
            feature.num_stats.max = 0.5

    with pytest.raises(DataRefused, match=r"replacement_share: up to 0\.5000 of a document"):
        _gate(_rewritten(written, tmp_path / "edited", edit), tmp_path, _config())


def test_a_feature_that_is_missing_altogether_is_refused(written, tmp_path):
    def edit(features, feature):
        if feature.path.step[0] == "timestamp":
            features.remove(feature)

    with pytest.raises(DataRefused, match="split train, timestamp: Column is completely missing"):
        _gate(_rewritten(written, tmp_path / "edited", edit), tmp_path, _config())


def _swap_languages(_, feature):
    """As if 80 % of the documents were Chinese."""
    if feature.path.step[0] == "lang":
        english, chinese = feature.string_stats.rank_histogram.buckets
        english.label, chinese.label = chinese.label, english.label


def test_drift_from_the_previous_span_is_measured_and_bounded(written, tmp_path):
    checks, _ = _gate(written, tmp_path / "same", _config(), previous=written)
    drift = {check.feature: check for check in checks[10:]}
    assert set(drift) == {"lang", "source", "characters"}
    assert drift["lang"].value.startswith("0.000 from the last approved span's (L-infinity")

    swapped = _rewritten(written, tmp_path / "previous", _swap_languages)
    with pytest.raises(DataRefused) as refused:
        _gate(written, tmp_path / "swapped", _config(), previous=swapped)
    assert "1 of 13 checks failed" in refused.value.what
    assert (
        "split train, lang: 0.600 from the last approved span's (L-infinity distance); "
        "bound: at most 0.5 (validation.max_language_drift)"
    ) in refused.value.what
    _gate(written, tmp_path / "moved", _config(max_language_drift=0.7), previous=swapped)


@component
def GivenStatistics(
    statistics: OutputArtifact[ExampleStatistics], span: Parameter[int], folder: Parameter[str]
) -> None:
    """Stands for StatisticsGen, whose Beam pipeline takes seconds to start."""
    shutil.copytree(folder, statistics.uri, dirs_exist_ok=True)
    statistics.span = span
    statistics.split_names = '["train", "eval"]'


@pytest.fixture
def run(written, tmp_path):
    """Runs statistics to gate; gives the span compared with, None if none, and the gate's state."""
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))

    def run_once(span: int, **bounds) -> tuple[int | None, str]:
        config = _config(**bounds)
        last = Resolver(
            strategy_class=LastApprovedStatistics,
            config={"span": span},
            statistics=Channel(
                type=ExampleStatistics,
                producer_component_id="GivenStatistics",
                output_key="statistics",
            ),
            approval=Channel(
                type=DataApproval, producer_component_id="DataGate", output_key="approval"
            ),
        ).with_id("LastApprovedStatistics")
        given = GivenStatistics(span=span, folder=str(written))
        schema = TextSchema(config=config)
        validator = ExampleValidator(
            statistics=given.outputs["statistics"], schema=schema.outputs["schema"]
        )
        gate = DataGate(
            statistics=given.outputs["statistics"],
            anomalies=validator.outputs["anomalies"],
            previous_statistics=last.outputs["statistics"],
            config=config,
        )
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="validating",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[last, given, schema, validator, gate],
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
