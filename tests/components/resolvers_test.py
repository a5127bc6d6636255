"""The resolvers in real runs of a small pipeline over a real ML Metadata store."""

import json
import pathlib

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types.channel import Channel
from tfx.types.standard_artifacts import ExampleStatistics, Model, ModelBlessing

from components.artifacts import DataApproval, ExamplesApproval
from components.resolvers import (
    PROVENANCE_FILE,
    LastApprovedExamples,
    LastApprovedStatistics,
    LastBlessedModel,
    read_provenance,
)


@component
def Train(
    model: OutputArtifact[Model],
    span: Parameter[int],
    fingerprint: Parameter[str],
    base_model: InputArtifact[Model] = None,
) -> None:
    """Stands for the Trainer: says what it was given to build on."""
    base = read_provenance(base_model.uri)["fingerprint"] if base_model else None
    file = pathlib.Path(model.uri) / PROVENANCE_FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"span": span, "fingerprint": fingerprint, "base": base}))


@component
def Evaluate(
    model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing], blessed: Parameter[int]
) -> None:
    """Stands for TFX's Evaluator: sets what that sets."""
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", blessed)


@pytest.fixture
def run(tmp_path):
    """Runs train and evaluate; gives the model's provenance and the Trainer's state."""
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))

    def run_once(span: int, fingerprint: str, blessed: bool = True) -> tuple[dict, str]:
        last = Resolver(
            strategy_class=LastBlessedModel,
            config={"span": span, "fingerprint": fingerprint},
            model=Channel(type=Model, producer_component_id="Train", output_key="model"),
            model_blessing=Channel(
                type=ModelBlessing, producer_component_id="Evaluate", output_key="blessing"
            ),
        ).with_id("LastBlessedModel")
        train = Train(span=span, fingerprint=fingerprint, base_model=last.outputs["model"])
        evaluate = Evaluate(model=train.outputs["model"], blessed=int(blessed))
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="resolving",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[last, train, evaluate],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        store = MetadataStore(connection)
        execution = max(
            store.get_executions_by_type(f"{__name__}.Train"), key=lambda execution: execution.id
        )
        events = store.get_events_by_execution_ids([execution.id])
        outputs = [e for e in events if e.type == metadata_store_pb2.Event.OUTPUT]
        (model,) = store.get_artifacts_by_id([outputs[0].artifact_id])
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        return dict(read_provenance(model.uri)), state

    return run_once


def test_a_run_builds_on_the_last_blessed_model_and_its_rerun_on_the_same(run):
    first, state = run(1, "first")
    assert (first["base"], state) == (None, "COMPLETE")
    first, state = run(1, "first")
    assert (first["base"], state) == (None, "CACHED")

    worse, _ = run(1, "worse", blessed=False)
    assert worse["base"] == "first"
    later, _ = run(2, "later")
    assert later["base"] == "first", "a model that was not blessed is nothing to build on"

    earlier, _ = run(1, "other settings, earlier span")
    assert earlier["base"] == "first", "the model of a later span has seen the future"

    for span, fingerprint, base in (
        (1, "first", None),
        (1, "worse", "first"),
        (2, "later", "first"),
    ):
        again, state = run(span, fingerprint, blessed=fingerprint != "worse")
        assert (again["base"], state) == (base, "CACHED")


def _artifact(kind, identity, *, uri="", custom=None, **properties):
    artifact = kind()
    artifact.id = identity
    artifact.uri = uri
    for name, value in properties.items():
        setattr(artifact, name, value)
    for name, value in (custom or {}).items():
        artifact.set_int_custom_property(name, value)
    return artifact


def _statistics(span):
    """Resolves among: span 1 twice (ids 3 and 4), span 2 refused (5), span 3 (6)."""
    approved = {3: 1, 4: 1, 6: 3}
    resolved = LastApprovedStatistics(span=span).resolve_artifacts(
        None,
        {
            "statistics": [
                _artifact(ExampleStatistics, identity, span=of_span)
                for identity, of_span in {6: 3, 3: 1, 5: 2, 4: 1}.items()
            ],
            "approval": [
                _artifact(DataApproval, 10 + identity, span=of_span, statistics_id=identity)
                for identity, of_span in approved.items()
            ],
        },
    )
    pairs = zip(resolved["statistics"], resolved["approval"], strict=True)
    return [(statistics.id, approval.statistics_id) for statistics, approval in pairs]


@pytest.mark.parametrize(
    ("span", "expected"), [(1, []), (2, [(4, 4)]), (3, [(4, 4)]), (4, [(6, 6)]), (9, [(6, 6)])]
)
def test_statistics_are_those_of_the_last_earlier_span_that_was_approved(span, expected):
    assert _statistics(span) == expected


@pytest.mark.parametrize(("span", "expected"), [(1, []), (2, [14]), (3, [14]), (4, [16])])
def test_examples_are_compared_with_the_last_earlier_span_that_was_approved(span, expected):
    approvals = [
        _artifact(ExamplesApproval, identity, span=of_span)
        for identity, of_span in {16: 3, 13: 1, 14: 1}.items()
    ]
    strategy = LastApprovedExamples(span=span)
    resolved = strategy.resolve_artifacts(None, {"approval": approvals})
    assert [approval.id for approval in resolved["approval"]] == expected


def test_without_artifacts_nothing_is_resolved():
    assert LastApprovedStatistics(span=1).resolve_artifacts(
        None, {"statistics": [], "approval": []}
    ) == {"statistics": [], "approval": []}
    assert LastBlessedModel(span=1, fingerprint="a").resolve_artifacts(
        None, {"model": [], "model_blessing": []}
    ) == {"model": [], "model_blessing": []}


def test_a_model_without_provenance_is_not_built_on(tmp_path):
    model = _artifact(Model, 1, uri=str(tmp_path))
    blessing = _artifact(ModelBlessing, 2, custom={"blessed": 1, "current_model_id": 1})
    strategy = LastBlessedModel(span=1, fingerprint="a")
    inputs = {"model": [model], "model_blessing": [blessing]}
    assert strategy.resolve_artifacts(None, inputs)["model"] == []
    file = tmp_path / PROVENANCE_FILE
    file.parent.mkdir(parents=True)
    file.write_text('{"span": 1, "fingerprint": "b"}')
    assert strategy.resolve_artifacts(None, inputs)["model"] == [model]
