"""The lineage of pushed versions, over two spans and a warm start."""

import json
import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from models.errors import ConfigError
from pipeline.metadata.lineage import find_pipeline, lineage_of
from pipeline.metadata.queries import RunHistory
from tests.testdata.recorded_runs import Recorder


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path)


RATE = "training.optimizer.learning_rate"


def train(
    recorder: Recorder,
    run: str,
    span: int,
    base: int | None,
    version: str | None,
    tuned: int | None = None,
) -> int:
    """Records the steps of a run as TFX does; returns the number of its Model artifact."""
    documents = recorder.artifact("Examples", span=str(span), span_label=f"0{span}")
    recorder.execution(
        run,
        "TextExampleGen",
        parameters={"span": span, "pattern": f"a-{span}.jsonl", "fingerprint": f"text-{span}"},
        outputs={"examples": documents},
    )
    cleaned = recorder.artifact("Examples", span=str(span))
    recorder.execution(
        run, "TextCleaner", inputs={"documents": documents}, outputs={"cleaned": cleaned}
    )
    vocabulary = recorder.artifact("PolysemeVocabulary", size=99)
    recorder.execution(run, "VocabularyTrainer", outputs={"vocabulary": vocabulary})
    examples = recorder.artifact("Examples")
    recorder.execution(
        run,
        "ExampleBuilder",
        inputs={"documents": cleaned, "vocabulary": vocabulary},
        outputs={"examples": examples},
    )
    provenance = {
        "recipe": "bert_tiny",
        "code": "c0de",
        "commit": "1a2b3c4",
        "fingerprint": f"all-{span}",
        "pattern": f"a-{span}.jsonl",
    }
    training = {"steps": 7, "optimizer": {"learning_rate": 0.1}}
    custom_config = {
        "model": "{}",
        "training": json.dumps(training),
        "config": json.dumps({"training": training}),
        "unkeyed": {"provenance": json.dumps(provenance)},
    }
    model = recorder.artifact("Model")
    recorder.execution(
        run,
        "Trainer",
        parameters={"custom_config": json.dumps(custom_config)},
        inputs={"examples": examples}
        | ({"base_model": base} if base else {})
        | ({"hyperparameters": tuned} if tuned else {}),
        outputs={"model": model},
    )
    if version:
        pushed = recorder.artifact(
            "PushedModel", pushed=1, pushed_version=version, pushed_destination=f"/s/{version}"
        )
        recorder.execution(run, "Pusher", inputs={"model": model}, outputs={"pushed_model": pushed})
        recorder.execution(
            f"{run}-again",
            "Pusher",
            mlmd.Execution.CACHED,
            inputs={"model": model},
            outputs={"pushed_model": pushed},
        )
    return model


def test_the_lineage_of_a_warm_started_version_includes_its_base(recorder: Recorder) -> None:
    first = train(recorder, "a", 1, None, "17")
    train(recorder, "b", 2, first, "18")
    found = lineage_of(RunHistory(recorder.folder), "18")
    assert (found.version, found.destination, found.span) == ("18", "/s/18", 2)
    assert found.label == "02"
    assert (found.pattern, found.corpus) == ("a-2.jsonl", "text-2")
    assert (found.recipe, found.fingerprint) == ("bert_tiny", "all-2")
    assert (found.code, found.commit) == ("c0de", "1a2b3c4")
    assert found.config == {"training": {"steps": 7, "optimizer": {"learning_rate": 0.1}}}
    assert found.vocabulary_size == 99
    assert found.base is not None
    assert (found.base.version, found.base.span, found.base.corpus) == ("17", 1, "text-1")
    assert found.base.base is None
    folders = {found.model, found.examples, found.vocabulary, found.cleaned, found.documents}
    assert len(folders) == 5


def test_the_configuration_has_the_tuned_hyperparameters(recorder: Recorder) -> None:
    tuned = recorder.artifact("HyperParameters")
    train(recorder, "a", 1, None, "17", tuned)
    history = RunHistory(recorder.folder)
    with pytest.raises(ConfigError, match="hyperparameters that the Tuner found cannot be read"):
        lineage_of(history, "17")
    found = history.nodes("a")["Trainer"].input("hyperparameters")
    assert found is not None
    folder = pathlib.Path(found.uri)
    folder.mkdir(parents=True)
    (folder / "best_hyperparameters.txt").write_text(json.dumps({"values": {RATE: 0.5}}))
    config = lineage_of(history, "17").config
    assert config == {"training": {"steps": 7, "optimizer": {"learning_rate": 0.5}}}


def test_latest_is_the_version_pushed_last_and_a_base_may_be_unpushed(recorder: Recorder) -> None:
    first = train(recorder, "a", 1, None, None)
    train(recorder, "b", 2, first, "18")
    found = lineage_of(RunHistory(recorder.folder), "latest")
    assert found.version == "18"
    assert found.base is not None
    assert found.base.version is None


def test_an_unknown_version_is_refused_with_a_list_of_the_pushed_ones(recorder: Recorder) -> None:
    train(recorder, "a", 1, None, "17")
    with pytest.raises(ConfigError, match="version 16 was not pushed") as error:
        lineage_of(RunHistory(recorder.folder), "16")
    assert "pushed versions: 17" in str(error.value)


def test_before_the_first_push_there_is_no_latest(recorder: Recorder) -> None:
    with pytest.raises(ConfigError, match="none yet"):
        lineage_of(RunHistory(recorder.folder), "latest")


def test_the_pipeline_of_a_versions_folder_is_found(tmp_path: pathlib.Path) -> None:
    assert find_pipeline(tmp_path / "mine/serving/mine/17") == tmp_path / "mine"
    with pytest.raises(ConfigError, match="not a pushed version"):
        find_pipeline(tmp_path / "mine/17")
