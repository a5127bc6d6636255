"""The resolvers in real runs of a small pipeline over a real ML Metadata store."""

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
    PushedModel,
)

from components import resolvers
from components.artifacts import DataApproval, ExamplesApproval, TrainedTexts
from components.resolvers import (
    PROVENANCE_FILE,
    LastApprovedExamples,
    LastApprovedStatistics,
    LastBlessedModel,
    TrainedEarlier,
    TrainingStart,
    spans_of,
    write_origin,
)
from models.errors import ConfigError


@component
def Train(
    model: OutputArtifact[Model],
    span: Parameter[int],
    fingerprint: Parameter[str],
    base_model: InputArtifact[Model] = None,
) -> None:
    """Stands for the Trainer: says on the model what it comes from."""
    pathlib.Path(model.uri).mkdir(exist_ok=True)
    write_origin(model, span=span, fingerprint=fingerprint, test_share=0.1, base=base_model)
    base = base_model.get_string_custom_property("fingerprint") if base_model else "nothing"
    model.set_string_custom_property("base", base)


@component
def Evaluate(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    blessed: Parameter[int],
    baseline: InputArtifact[Model] = None,
) -> None:
    """Stands for TFX's Evaluator: sets what that sets."""
    blessing.set_int_custom_property("current_model_id", model.id)
    blessing.set_int_custom_property("blessed", blessed)
    name = baseline.get_string_custom_property("fingerprint") if baseline else "nothing"
    blessing.set_string_custom_property("baseline", name)


@component
def Push(
    model: InputArtifact[Model], pushed_model: OutputArtifact[PushedModel], version: Parameter[str]
) -> None:
    """Stands for TFX's Pusher; no version is no push."""
    pushed_model.set_int_custom_property("pushed", int(bool(version)))
    pushed_model.set_string_custom_property("pushed_version", version)


class Ran(NamedTuple):
    """Fingerprints of what training started from and of what was compared with; its state."""

    base: str
    baseline: str
    state: str


@pytest.fixture
def run(tmp_path):
    """Trains, evaluates and pushes."""
    connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))

    def run_once(span, fingerprint, *, blessed=True, pushed=True, start="auto", version="") -> Ran:
        channels = {
            "model": Channel(type=Model, producer_component_id="Train", output_key="model"),
            "model_blessing": Channel(
                type=ModelBlessing, producer_component_id="Evaluate", output_key="blessing"
            ),
        }
        last = Resolver(
            strategy_class=LastBlessedModel, config={"fingerprint": fingerprint}, **channels
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
        evaluate = Evaluate(model=model, blessed=int(blessed), baseline=last.outputs["model"])
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
        made, state = _output(store, "Train")
        judged, _ = _output(store, "Evaluate")
        return Ran(
            made.custom_properties["base"].string_value,
            judged.custom_properties["baseline"].string_value,
            state,
        )

    return run_once


def _output(store, name):
    """The output of a component's last execution, and how that ended."""
    execution = max(
        store.get_executions_by_type(f"{__name__}.{name}"), key=lambda execution: execution.id
    )
    events = store.get_events_by_execution_ids([execution.id])
    outputs = [e for e in events if e.type == metadata_store_pb2.Event.OUTPUT]
    (artifact,) = store.get_artifacts_by_id([outputs[0].artifact_id])
    return artifact, metadata_store_pb2.Execution.State.Name(execution.last_known_state)


def test_training_starts_from_the_newest_model_and_a_rerun_from_the_same(run):
    assert run(1, "first") == ("nothing", "nothing", "COMPLETE")
    assert run(1, "first") == ("nothing", "nothing", "CACHED")
    # The same span with other settings: from where the first run on it started.
    assert run(1, "worse", blessed=False) == ("nothing", "first", "COMPLETE")
    assert run(3, "third") == ("first", "first", "COMPLETE")
    # A span that comes late: from the model that has seen the newest text.
    assert run(2, "late") == ("third", "third", "COMPLETE")
    assert run(4, "fourth") == ("late", "late", "COMPLETE")
    # What the models of spans 2 and 4 start from has seen span 3 too.
    assert run(3, "third again") == ("first", "fourth", "COMPLETE")
    for span, fingerprint, base, baseline in (
        (1, "first", "nothing", "nothing"),
        (3, "third", "first", "first"),
        (2, "late", "third", "third"),
    ):
        assert run(span, fingerprint) == (base, baseline, "CACHED")


def test_a_model_that_was_not_pushed_is_nothing_to_build_on(run):
    run(1, "first", pushed=False)  # the serving check refused it
    assert run(2, "second") == ("nothing", "nothing", "COMPLETE")
    run(3, "third", blessed=False)
    assert run(4, "fourth") == ("second", "second", "COMPLETE")


def test_the_start_can_be_chosen(run):
    run(1, "first", version="17")
    run(2, "second", version="18")
    assert run(3, "a", pushed=False, start="scratch").base == "nothing"
    assert run(3, "b", pushed=False, start="17") == ("first", "second", "COMPLETE")
    assert run(2, "c", pushed=False, start="last_blessed").base == "second"


def test_a_version_that_was_not_pushed_is_refused(tmp_path):
    strategy = TrainingStart(span=1, fingerprint="a", start="19", test_share=0.1, window=1)
    store = MetadataStore(sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite")))
    with pytest.raises(ConfigError, match="version 19 was not pushed") as caught:
        strategy.resolve_artifacts(store, {"model": [], "model_blessing": []})
    assert caught.value.remedy == "give one of: none yet"


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


def test_without_artifacts_nothing_is_resolved(tmp_path):
    assert LastApprovedStatistics(span=1).resolve_artifacts(
        None, {"statistics": [], "approval": []}
    ) == {"statistics": [], "approval": []}
    store = MetadataStore(sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite")))
    for strategy in (LastBlessedModel("a"), TrainingStart(1, "a", "auto", 0.1, 1)):
        nothing = {"model": [], "model_blessing": [], "approval": [], "documents": []}
        found = strategy.resolve_artifacts(store, nothing)
        assert not any(found.values())


@pytest.fixture
def pushed(monkeypatch):
    """A model with the number 1, blessed and pushed; its folder is given."""

    def inputs(uri, **properties):
        monkeypatch.setattr(resolvers, "_pushed", lambda store: {1: "17"})
        model = _artifact(Model, 1, uri=str(uri))
        for name, value in properties.items():
            model.set_string_custom_property(name, value)
        blessing = _artifact(ModelBlessing, 2, custom={"blessed": 1, "current_model_id": 1})
        nothing = {"approval": [], "documents": []}
        return {"model": [model], "model_blessing": [blessing], **nothing}

    return inputs


def test_a_model_of_an_older_release_is_known_by_its_provenance(tmp_path, pushed):
    inputs = pushed(tmp_path)
    strategy = LastBlessedModel(fingerprint="a")
    assert strategy.resolve_artifacts(None, inputs)["model"] == []
    file = tmp_path / PROVENANCE_FILE
    file.parent.mkdir(parents=True)
    file.write_text('{"span": 1, "fingerprint": "b"}')
    assert strategy.resolve_artifacts(None, inputs)["model"] == inputs["model"]
    assert LastBlessedModel(fingerprint="b").resolve_artifacts(None, inputs)["model"] == []


def test_a_base_whose_folder_is_gone_is_refused_and_no_fresh_start(tmp_path, pushed):
    inputs = pushed(tmp_path / "gone", spans="[1]", fingerprint="b")
    with pytest.raises(ConfigError, match="is not there any more") as caught:
        TrainingStart(2, "a", "auto", 0.1, 1).resolve_artifacts(None, inputs)
    assert caught.value.where == str(tmp_path / "gone")
    scratch = TrainingStart(2, "a", "scratch", 0.1, 1).resolve_artifacts(None, inputs)
    assert scratch["model"] == []


def test_a_model_has_seen_the_spans_of_its_base_too():
    base, model = _artifact(Model, 1), _artifact(Model, 2)
    write_origin(base, span=3, fingerprint="a", test_share=0.1)
    write_origin(model, span=2, fingerprint="b", test_share=0.1, base=base)
    assert spans_of(model) == [2, 3]
    assert model.get_string_custom_property("fingerprint") == "b"


@pytest.mark.parametrize("share", ["test_share", "eval_share"])  # as older releases called it
def test_another_share_of_documents_to_test_on_than_the_bases_is_refused(tmp_path, pushed, share):
    inputs = pushed(tmp_path, spans="[1]", fingerprint="b")
    inputs["model"][0].set_float_custom_property(share, 0.1)
    assert TrainingStart(2, "a", "auto", 0.1, 1).resolve_artifacts(None, inputs)["model"]
    with pytest.raises(ConfigError, match=r"0\.1, and was trained on") as caught:
        TrainingStart(2, "a", "auto", 0.2, 1).resolve_artifacts(None, inputs)
    assert caught.value.where == "ingestion.test_share"
    assert TrainingStart(2, "a", "scratch", 0.2, 1).resolve_artifacts(None, inputs)["model"] == []


@pytest.mark.parametrize(
    ("span", "seen", "expected"),
    [
        (1, "[1]", []),  # pushed: as the first run found it
        (2, "[1]", [13]),  # tried, and not pushed: what span 3 trained on counts too
        (2, "[1, 2]", [11]),
        (3, "[1, 2, 3]", [12]),
        (4, "[1, 2, 3]", [13]),
    ],
)
def test_held_out_text_is_looked_up_in_what_earlier_runs_trained_on(pushed, span, seen, expected):
    texts = [
        _artifact(TrainedTexts, identity, span=of_span)
        for identity, of_span in {11: 1, 12: 2, 13: 3}.items()
    ]
    model = pushed("/a", spans=seen)["model"]
    resolved = TrainedEarlier(span).resolve_artifacts(None, {"trained": texts, "model": model})
    assert [each.id for each in resolved["trained"]] == expected


@pytest.mark.parametrize(
    ("span", "base", "window", "expected"),
    [
        (4, "[1, 2]", 1, []),
        (4, "[1, 2]", 2, [23]),
        (4, "[1, 2]", 3, [21, 23]),  # span 2 was refused
        (4, "[1, 2]", 0, [21, 23]),
        (2, "[1]", 0, [21]),  # span 3 is none of its past
        (2, "[1, 3]", 2, [23]),  # late text, from a model that has seen span 3
        (1, "[1]", 0, []),
    ],
)
def test_the_window_holds_the_newest_approved_spans(tmp_path, pushed, span, base, window, expected):
    inputs = pushed(tmp_path, spans=base, fingerprint="b")
    inputs["documents"] = [
        _artifact(Examples, identity, span=of_span)
        for identity, of_span in {20: 1, 21: 1, 22: 2, 23: 3, 24: 3, 25: 4}.items()
    ]
    inputs["approval"] = [
        _artifact(DataApproval, 30 + of_span, span=of_span, cleaned_id=identity)
        for identity, of_span in {20: 1, 21: 1, 23: 3, 25: 4, 99: 0}.items()
    ]
    inputs["approval"][1].id = 40  # span 1 was approved twice; the later one counts
    start = TrainingStart(span, "a", "last_blessed", 0.1, window)
    found = start.resolve_artifacts(None, inputs)
    assert [each.id for each in found["documents"]] == expected
    assert found["approval"] == []


def test_a_model_has_seen_the_spans_of_the_window_too():
    examples, model = _artifact(Examples, 1), _artifact(Model, 2)
    examples.set_string_custom_property("spans", "[2, 5]")
    write_origin(model, span=5, fingerprint="b", test_share=0.1, examples=examples)
    assert spans_of(model) == [2, 5]
