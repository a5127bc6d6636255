"""The resolvers, in runs of a small pipeline with a real ML Metadata store."""

import pathlib
from typing import NamedTuple

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
from tfx.types.standard_artifacts import (
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
)

from components.artifacts import DataApproval, ExamplesApproval, TrainedTexts
from components.layout import PROVENANCE_FILE, SAVED_MODEL_FOLDER
from components.lineage import pushed_models, resolvers
from components.lineage.model_origin import write_origin
from components.lineage.resolvers import (
    LastApprovedExamples,
    LastApprovedStatistics,
    LastBlessedModel,
    TrainedEarlier,
)
from components.training.start_resolver import TrainingStart
from tests.components.resolver_artifacts import artifact, pushed_model


@component
def Train(
    model: OutputArtifact[Model],
    span: Parameter[int],
    fingerprint: Parameter[str],
    base_model: InputArtifact[Model] = None,
) -> None:
    """Replaces the Trainer: records the model's origin."""
    pathlib.Path(model.uri).mkdir(exist_ok=True)
    write_origin(model, span=span, fingerprint=fingerprint, test_share=0.1, base=base_model)
    base = base_model.get_string_custom_property("fingerprint") if base_model else "nothing"
    model.set_string_custom_property("base", base)


@component
def Evaluate(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    blessed: Parameter[int],
    evaluation: OutputArtifact[ModelEvaluation],
    baseline: InputArtifact[Model] = None,
    judged_by: InputArtifact[ModelEvaluation] = None,
) -> None:
    """Replaces TFX's Evaluator: sets the same properties."""
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", blessed)
    name = baseline.get_string_custom_property("fingerprint") if baseline else "nothing"
    blessing.set_string_custom_property("baseline", name)
    evaluation.set_string_custom_property("of", str(model.id))
    judged = judged_by.get_string_custom_property("of") if judged_by else "nothing"
    blessing.set_string_custom_property("judged_by", judged)


@component
def Push(
    model: InputArtifact[Model], pushed_model: OutputArtifact[PushedModel], version: Parameter[str]
) -> None:
    """Replaces TFX's Pusher; an empty version means no push."""
    pushed_model.set_int_custom_property("pushed", int(bool(version)))
    pushed_model.set_string_custom_property("pushed_version", version)


class Ran(NamedTuple):
    """Fingerprints of the base model and of the last blessed model, and the Trainer's state."""

    base: str
    baseline: str
    state: str


@pytest.fixture
def run(tmp_path):
    """A function that trains, evaluates and pushes a model."""
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))

    def run_once(span, fingerprint, *, blessed=True, pushed=True, start="auto", version="") -> Ran:
        channels = {
            "model": Channel(type=Model, producer_component_id="Train", output_key="model"),
            "model_blessing": Channel(
                type=ModelBlessing, producer_component_id="Evaluate", output_key="blessing"
            ),
        }
        last = Resolver(
            strategy_class=LastBlessedModel,
            config={"fingerprint": fingerprint},
            evaluation=Channel(type=ModelEvaluation),
            **channels,
        ).with_id("LastBlessedModel")
        first = Resolver(
            strategy_class=TrainingStart,
            config={
                "span": span,
                "fingerprint": fingerprint,
                "start": start,
                "test_share": 0.1,
                "window": 1,
            },
            approval=Channel(type=DataApproval),
            documents=Channel(type=Examples),
            **channels,
        ).with_id("TrainingStart")
        train = Train(span=span, fingerprint=fingerprint, base_model=first.outputs["model"])
        model = train.outputs["model"]
        evaluate = Evaluate(
            model=model,
            blessed=int(blessed),
            baseline=last.outputs["model"],
            judged_by=last.outputs["evaluation"],
        )
        push = Push(model=model, version=(version or fingerprint) if blessed and pushed else "")
        push.add_upstream_node(evaluate)
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="resolving",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[last, first, train, evaluate, push],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        store = MetadataStore(connection)
        made, state = _output(store, "Train", "model")
        judged, _ = _output(store, "Evaluate", "blessing")
        return Ran(
            made.custom_properties["base"].string_value,
            judged.custom_properties["baseline"].string_value,
            state,
        )

    return run_once


def _output(store, name, output):
    """An output of a component's last execution, and that execution's state."""
    execution = max(
        store.get_executions_by_type(f"{__name__}.{name}"), key=lambda execution: execution.id
    )
    events = store.get_events_by_execution_ids([execution.id])
    made = [e for e in events if e.type == metadata_store_pb2.Event.OUTPUT]
    (number,) = [e.artifact_id for e in made if e.path.steps[0].key == output]
    (artifact,) = store.get_artifacts_by_id([number])
    return artifact, metadata_store_pb2.Execution.State.Name(execution.last_known_state)


def test_training_starts_from_the_newest_model_and_a_rerun_from_the_same(run):
    assert run(1, "first") == ("nothing", "nothing", "COMPLETE")
    assert run(1, "first") == ("nothing", "nothing", "CACHED")
    # The same span with other settings starts from the same model as the first run on it.
    assert run(1, "worse", blessed=False) == ("nothing", "first", "COMPLETE")
    assert run(3, "third") == ("first", "first", "COMPLETE")
    # A span that comes late starts from the model that has seen the newest text.
    assert run(2, "late") == ("third", "third", "COMPLETE")
    assert run(4, "fourth") == ("late", "late", "COMPLETE")
    # The models of spans 2 and 4 have seen span 3 too, through their base models.
    assert run(3, "third again") == ("first", "fourth", "COMPLETE")
    for span, fingerprint, base, baseline in (
        (1, "first", "nothing", "nothing"),
        (3, "third", "first", "first"),
        (2, "late", "third", "third"),
    ):
        assert run(span, fingerprint) == (base, baseline, "CACHED")


def test_models_that_were_not_pushed_are_ignored(run):
    run(1, "first", pushed=False)  # it failed the serving check
    assert run(2, "second") == ("nothing", "nothing", "COMPLETE")
    run(3, "third", blessed=False)
    assert run(4, "fourth") == ("second", "second", "COMPLETE")


def test_the_start_can_be_chosen(run):
    run(1, "first", version="17")
    run(2, "second", version="18")
    assert run(3, "a", pushed=False, start="scratch").base == "nothing"
    assert run(3, "b", pushed=False, start="17") == ("first", "second", "COMPLETE")
    assert run(2, "c", pushed=False, start="last_blessed").base == "second"


def test_the_last_blessed_model_comes_with_the_evaluation_that_it_was_blessed_by(run, tmp_path):
    run(1, "first")
    run(2, "second", blessed=False)
    run(3, "third")
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    store = MetadataStore(connection)
    blessing, _ = _output(store, "Evaluate", "blessing")
    (first, *_) = sorted(model.id for model in store.get_artifacts_by_type("Model"))
    assert blessing.custom_properties["judged_by"].string_value == str(first)


def _statistics(span):
    """Resolves among span 1 twice (ids 3 and 4), span 2, which was refused (5), and span 3 (6)."""
    approved = {3: 1, 4: 1, 6: 3}
    resolved = LastApprovedStatistics(span=span).resolve_artifacts(
        None,
        {
            "statistics": [
                artifact(ExampleStatistics, identity, span=of_span)
                for identity, of_span in {6: 3, 3: 1, 5: 2, 4: 1}.items()
            ],
            "approval": [
                artifact(DataApproval, 10 + identity, span=of_span, statistics_id=identity)
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
        artifact(ExamplesApproval, identity, span=of_span)
        for identity, of_span in {16: 3, 13: 1, 14: 1}.items()
    ]
    strategy = LastApprovedExamples(span=span)
    resolved = strategy.resolve_artifacts(None, {"approval": approvals})
    assert [approval.id for approval in resolved["approval"]] == expected


def test_without_artifacts_nothing_is_resolved(tmp_path):
    assert LastApprovedStatistics(span=1).resolve_artifacts(
        None, {"statistics": [], "approval": []}
    ) == {"statistics": [], "approval": []}
    store = MetadataStore(sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite")))
    for strategy in (LastBlessedModel("a"), TrainingStart(1, "a", "auto", 0.1, 1)):
        names = ("model", "model_blessing", "approval", "documents", "evaluation")
        nothing: dict = {name: [] for name in names}
        found = strategy.resolve_artifacts(store, nothing)
        assert not any(found.values())


@pytest.fixture
def pushed(monkeypatch):
    """Makes a blessed and pushed model with the id 1 in a folder."""
    monkeypatch.setattr(pushed_models, "pushed_versions", lambda store: {1: "17"})
    monkeypatch.setattr(resolvers, "_sibling_outputs", lambda store, artifacts: set())
    return pushed_model


def test_a_model_of_an_older_release_is_identified_by_its_provenance(tmp_path, pushed):
    inputs = pushed(tmp_path)
    strategy = LastBlessedModel(fingerprint="a")
    assert strategy.resolve_artifacts(None, inputs)["model"] == []
    file = tmp_path / SAVED_MODEL_FOLDER / PROVENANCE_FILE
    file.parent.mkdir(parents=True)
    file.write_text('{"span": 1, "fingerprint": "b"}')
    assert strategy.resolve_artifacts(None, inputs)["model"] == inputs["model"]
    assert LastBlessedModel(fingerprint="b").resolve_artifacts(None, inputs)["model"] == []


@pytest.mark.parametrize(
    ("span", "seen", "start", "expected"),
    [
        (1, "[1]", "auto", []),  # pushed: what the first run found
        (2, "[1]", "auto", [11, 14]),  # not pushed: the texts of span 3 count too
        (2, "[1, 2]", "scratch", [11]),
        (2, "[1, 2, 3]", "last_blessed", [11, 14]),  # the base model may have seen span 3
        (2, "[1, 2, 3]", "17", [11, 14]),
        (3, "[1, 2, 3]", "auto", [11, 12]),
        (4, "[1, 2, 3]", "auto", [11, 12, 14]),  # the newest texts of each span
    ],
)
def test_the_newest_trained_texts_of_other_spans_are_found(pushed, span, seen, start, expected):
    texts = [
        artifact(TrainedTexts, identity, span=of_span)
        for identity, of_span in {14: 3, 11: 1, 12: 2, 13: 3}.items()
    ]
    model = pushed("/a", spans=seen)["model"]
    strategy = TrainedEarlier(span, start)
    resolved = strategy.resolve_artifacts(None, {"trained": texts, "model": model})
    assert [each.id for each in resolved["trained"]] == expected


def test_texts_that_others_contain_are_left_out(pushed):
    """Span 1 was cleaned again after span 2, so its new texts contain no others."""
    texts = [
        artifact(TrainedTexts, identity, span=of_span)
        for identity, of_span in {11: 1, 12: 2, 13: 1, 14: 3}.items()
    ]
    texts[1].set_string_custom_property("covers", "[11]")
    model = pushed("/a", spans="[1, 2, 3]")["model"]

    def resolved(span):
        inputs = {"trained": texts, "model": model}
        found = TrainedEarlier(span, "auto").resolve_artifacts(None, inputs)
        return [each.id for each in found["trained"]]

    assert resolved(4) == [13, 12, 14]
    texts[3].set_string_custom_property("covers", "[11, 12, 13]")
    assert resolved(4) == [14]
    assert resolved(3) == [13, 12]
