"""The model and the documents that a training builds on; resolvers_test.py has whole runs."""

import pytest
from ml_metadata import MetadataStore
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.types.standard_artifacts import Examples

from components.artifacts import DataApproval
from components.lineage import pushed_models
from components.lineage.resolvers import LastBlessedModel
from components.training import start_resolver
from components.training.start_resolver import TrainingStart
from models.errors import ConfigError
from tests.components.resolver_artifacts import artifact, pushed_model


@pytest.fixture
def pushed(monkeypatch):
    """Makes a blessed and pushed model with the id 1 in a folder."""
    monkeypatch.setattr(pushed_models, "pushed_versions", lambda store: {1: "17"})
    monkeypatch.setattr(start_resolver, "pushed_versions", lambda store: {1: "17"})
    return pushed_model


def test_a_version_that_was_not_pushed_is_refused(tmp_path):
    strategy = TrainingStart(span=1, fingerprint="a", start="19", test_share=0.1, window=1)
    store = MetadataStore(sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite")))
    with pytest.raises(ConfigError, match="version 19 was not pushed") as caught:
        strategy.resolve_artifacts(store, {"model": [], "model_blessing": []})
    assert caught.value.remedy == "give one of: none yet"


def test_a_removed_base_model_is_refused_unless_training_starts_from_scratch(tmp_path, pushed):
    inputs = pushed(tmp_path / "gone", spans="[1]", fingerprint="b")
    with pytest.raises(ConfigError, match="was removed") as caught:
        TrainingStart(2, "a", "auto", 0.1, 1).resolve_artifacts(None, inputs)
    assert caught.value.where == str(tmp_path / "gone")
    with pytest.raises(ConfigError, match="was removed"):
        LastBlessedModel("a").resolve_artifacts(None, inputs)
    # Training can start from new weights, as the message says.
    scratch = TrainingStart(2, "a", "scratch", 0.1, 1).resolve_artifacts(None, inputs)
    assert scratch["model"] == []
    assert LastBlessedModel("a", "scratch").resolve_artifacts(None, inputs)["model"] == []


@pytest.mark.parametrize("name", ["test_share", "eval_share"])  # its name in earlier releases
def test_another_test_share_than_the_base_models_is_refused(tmp_path, pushed, name):
    inputs = pushed(tmp_path, spans="[1]", fingerprint="b")
    inputs["model"][0].set_float_custom_property(name, 0.1)
    assert TrainingStart(2, "a", "auto", 0.1, 1).resolve_artifacts(None, inputs)["model"]
    with pytest.raises(ConfigError, match=r"was 0\.1 for the model") as caught:
        TrainingStart(2, "a", "auto", 0.2, 1).resolve_artifacts(None, inputs)
    assert caught.value.where == "ingestion.test_share"
    assert TrainingStart(2, "a", "scratch", 0.2, 1).resolve_artifacts(None, inputs)["model"] == []


@pytest.mark.parametrize(
    ("span", "base", "window", "expected"),
    [
        (4, "[1, 2]", 1, []),
        (4, "[1, 2]", 2, [23]),
        (4, "[1, 2]", 3, [21, 23]),  # span 2 was not approved
        (4, "[1, 2]", 0, [21, 23]),
        (2, "[1]", 0, [21]),  # span 3 is not older
        (2, "[1, 3]", 2, [23]),  # late text, from a model that has seen span 3
        (1, "[1]", 0, []),
    ],
)
def test_the_window_holds_the_newest_approved_spans(tmp_path, pushed, span, base, window, expected):
    inputs = pushed(tmp_path, spans=base, fingerprint="b")
    spans = {20: 1, 21: 1, 22: 2, 23: 3, 24: 3, 25: 4}
    inputs |= approved(tmp_path, spans, {30: 20, 31: 21, 33: 23, 34: 25})
    start = TrainingStart(span, "a", "last_blessed", 0.1, window)
    found = start.resolve_artifacts(None, inputs)
    assert [each.id for each in found["documents"]] == expected
    assert found["approval"] == []


def approved(folder, spans, cleaned):
    """Documents and approvals: ids of documents → spans, ids of approvals → ids of documents."""
    documents = [artifact(Examples, identity, span=span) for identity, span in spans.items()]
    for each in documents:
        each.uri = str(folder)
        each.set_float_custom_property("test_share", 0.1)
    approvals = [
        artifact(DataApproval, identity, span=spans.get(of, 2), cleaned_id=of)
        for identity, of in cleaned.items()
    ]
    return {"documents": documents, "approval": approvals}


def test_a_rerun_finds_the_window_of_the_first_run(tmp_path, pushed):
    inputs = pushed(tmp_path, spans="[1, 2, 3]", fingerprint="b")
    # Span 3 came before span 2, whose text was late; then span 1 was approved a second time.
    inputs |= approved(tmp_path, {21: 1, 22: 2, 23: 3, 24: 1}, {31: 21, 33: 23, 35: 22, 36: 24})

    def window(span, start):
        found = TrainingStart(span, "a", start, 0.1, 0).resolve_artifacts(None, inputs)
        return [each.id for each in found["documents"]]

    assert window(3, "auto") == [21]
    assert window(2, "scratch") == [21]
    assert window(3, "last_blessed") == [24, 22]  # from a model that has seen span 2
    assert window(4, "auto") == [24, 22, 23]


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (
            "removed",
            "training.window",
            "the documents of span 2, which is in the window, were removed",
        ),
        (
            "gone",
            "training.window",
            "the documents of span 2, which is in the window, were removed",
        ),
        ("older", "training.window", "did not record their test_share"),
        ("share", "ingestion.test_share", "were split with 0.2"),
        ("texts", "cleaning.evaluation_texts", "were cleaned with other evaluation texts"),
    ],
)
def test_older_documents_that_may_contain_test_text_are_refused(
    tmp_path, pushed, change, where, what
):
    inputs = pushed(tmp_path, spans="[1]", fingerprint="b")
    inputs |= approved(tmp_path, {21: 1, 22: 2}, {31: 21, 32: 22})
    documents = inputs["documents"][1]
    if change == "removed":
        inputs["documents"].remove(documents)
    elif change == "gone":
        documents.uri = str(tmp_path / "gone")
    elif change == "older":
        documents.set_float_custom_property("test_share", 0.0)
    elif change == "share":
        documents.set_float_custom_property("test_share", 0.2)
    else:
        documents.set_string_custom_property("evaluation", "other texts")
    with pytest.raises(ConfigError, match=what) as caught:
        TrainingStart(3, "a", "scratch", 0.1, 2).resolve_artifacts(None, inputs)
    assert caught.value.where == where
    assert TrainingStart(3, "a", "scratch", 0.1, 1).resolve_artifacts(None, inputs)
