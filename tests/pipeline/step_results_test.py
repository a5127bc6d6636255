"""The result of each step in a few words."""

import json
import pathlib
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.training.seed_results import SeedRun, SeedRuns
from components.tuning.trials import Search, Trial
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.step_results import found_by_resolver, result_of
from tests.testdata.recorded_runs import Recorder

Execution = mlmd.Execution


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path)


def write(node: NodeRecord, output: str, name: str, content: Any) -> pathlib.Path:
    """Writes a file into the folder of an output artifact."""
    artifact = node.output(output)
    assert artifact is not None
    path = pathlib.Path(artifact.uri) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_results_of_training_and_examples(recorder: Recorder) -> None:
    model_run, examples = recorder.artifact("ModelRun"), recorder.artifact("Examples")
    recorder.execution("a", "ExampleBuilder", outputs={"examples": examples})
    recorder.execution("a", "Trainer", outputs={"model_run": model_run})
    nodes = RunHistory(recorder.folder).nodes("a")
    log = write(
        nodes["Trainer"],
        "model_run",
        "training.jsonl",
        '{"step": 10, "loss": 7.25}\n{"step": 1200, "loss": 3.5}\n',
    )
    splits = {
        "train": {"examples": 5000, "padding_share": 0.125},
        "eval": {"examples": 0},
        "test": {"examples": 7},
    }
    counts = {"splits": splits, "older": {"examples": 300}}
    write(nodes["ExampleBuilder"], "examples", "examples.json", counts)
    assert result_of(nodes["Trainer"]) == "1,200 steps, loss 7.25 → 3.50"
    SeedRuns((SeedRun(3, {"loss": 2.0}), SeedRun(4, {"loss": 1.0}))).write(log.parent)
    assert result_of(nodes["Trainer"]) == (
        "1,200 steps, loss 7.25 → 3.50; seed 4 is the best of 2, eval loss 1.500 ± 0.707"
    )
    assert result_of(nodes["ExampleBuilder"]) == (
        "5,000 train + 7 test examples, 300 from earlier spans, 12% padding"
    )


def test_quarantined_empty_and_dropped_documents_are_counted_separately(recorder: Recorder) -> None:
    documents, cleaned = recorder.artifact("Examples"), recorder.artifact("Examples")
    approval = recorder.artifact(
        "PolysemeExamplesApproval", unknown_share=0.0125, tokens_per_word=1.4375
    )
    recorder.execution("a", "TextExampleGen", outputs={"examples": documents})
    recorder.execution("a", "TextCleaner", outputs={"cleaned": cleaned})
    recorder.execution("a", "ExampleGate", outputs={"approval": approval})
    nodes = RunHistory(recorder.folder).nodes("a")
    ingested = {
        "splits": {"train": {"documents": 70}, "eval": {"documents": 4}, "test": {"documents": 9}},
        "quarantined": 11,
        "unreadable": [{"file": "a"}, {"file": "b"}, {"file": "b"}],
        "empty": 10,
    }
    write(nodes["TextExampleGen"], "examples", "ingestion.json", ingested)
    held_out = {"dropped": {}, "quarantined": 0}
    kept = {
        "train": {"kept": 60, "dropped": {"duplicate": 8, "too short": 2}, "quarantined": 2},
        "eval": {"kept": 4, **held_out},
        "test": {"kept": 9, **held_out},
    }
    write(nodes["TextCleaner"], "cleaned", "cleaning.json", {"splits": kept})
    assert result_of(nodes["TextExampleGen"]) == (
        "70 train + 9 test + 4 eval documents, 1 quarantined, 10 empty, 2 unreadable files"
    )
    assert result_of(nodes["TextCleaner"]) == (
        "60 train + 9 test + 4 eval documents, 2 quarantined, 8 dropped"
    )
    assert result_of(nodes["ExampleGate"]) == "1.2% unknown tokens, 1.44 tokens per word"


def test_results_of_tuning(recorder: Recorder) -> None:
    trials = (
        Trial(1, {"training.optimizer.learning_rate": 0.00123456}, 5.25),
        Trial(2, {"training.optimizer.learning_rate": 1.0}, None, "the loss is nan"),
    )
    searches = {"good": trials, "bad": trials[1:], "old": None}
    expected = {
        "good": "2 trials, 1 failed; best loss 5.250 with learning_rate 0.001235",
        "bad": "1 trial, 1 failed",
        "old": "",
    }
    for run, found in searches.items():
        results = recorder.artifact("TunerResults")
        recorder.execution(run, "Tuner", outputs={"tuner_results": results})
        tuner = RunHistory(recorder.folder).nodes(run)["Tuner"]
        file = write(tuner, "tuner_results", "trials.json", {"of": "another version"})
        if found:
            Search("random", 20, (), found).write(file.parent)
        assert result_of(tuner) == expected[run]


def test_a_step_whose_files_are_gone_has_no_result(recorder: Recorder) -> None:
    recorder.execution("a", "Trainer", outputs={"model_run": recorder.artifact("ModelRun")})
    recorder.execution("a", "TextSchema")
    nodes = RunHistory(recorder.folder).nodes("a")
    assert [result_of(nodes[name]) for name in ("Trainer", "TextSchema")] == ["", ""]


def test_what_a_resolver_found_is_read_from_the_step_that_consumed_it(recorder: Recorder) -> None:
    statistics = recorder.artifact("ExampleStatistics", span=739007)
    model = recorder.artifact("Model", spans="[1, 739007]")
    resolvers = ("LastApprovedStatistics", "LastBlessedModel", "TrainingStart")
    for run, found in (("first", False), ("second", True)):
        for resolver in resolvers:
            recorder.execution(run, resolver, Execution.CACHED)
        inputs = {"previous_statistics": statistics} if found else {}
        recorder.execution(run, "DataGate", inputs=inputs)
        inputs = {"base_model": model} if found else {}
        recorder.execution(run, "VocabularyTrainer", inputs=inputs)
        inputs = {"baseline_model": model} if found else {}
        recorder.execution(run, "Evaluator", inputs=inputs)
    history = RunHistory(recorder.folder)
    for run, shown in (
        ("first", ["none yet", "none yet", "new weights"]),
        (
            "second",
            ["from span 2024-05-01", *[f"model {model}, trained on span 1, 2024-05-01"] * 2],
        ),
    ):
        nodes = history.nodes(run)
        assert [found_by_resolver(resolver, nodes) for resolver in resolvers] == shown
