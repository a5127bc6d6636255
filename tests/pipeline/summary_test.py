"""How a run's end is told."""

import json
import pathlib
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.evaluation.bootstrap import Interval
from components.evaluation.judgement import Judgement
from components.evaluation.results import Evaluation, SliceMetrics
from components.training.seed_results import SeedRun, SeedRuns
from components.tuning.trials import Search, Trial
from pipeline.metadata.queries import RunHistory
from pipeline.steps import COMPONENTS, steps_until
from pipeline.summary import summarize
from tests.testdata.recorded_runs import Recorder

Execution = mlmd.Execution


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path)


def write(folder: str, name: str, content: Any) -> None:
    path = pathlib.Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_run_that_failed_in_the_middle(recorder: Recorder) -> None:
    documents = recorder.artifact("Examples")
    recorder.execution("a", "TextExampleGen", outputs={"examples": documents})
    recorder.execution("a", "DataGate", Execution.FAILED)
    history = RunHistory(recorder.folder)
    write(
        history.nodes("a")["TextExampleGen"].output("examples").uri,  # type: ignore[union-attr]
        "ingestion.json",
        {
            "splits": {
                "train": {"documents": 1200},
                "eval": {"documents": 0},
                "test": {"documents": 30},
            },
            "quarantined": 2,
        },
    )
    summary = summarize(history, "a")
    steps = {step.component: step for step in summary.steps}
    assert list(steps) == [name for name in COMPONENTS if name not in ("InfraValidator", "Tuner")]
    assert steps["TextExampleGen"].figures == "1,200 + 30 documents, 2 quarantined"
    assert steps["DataGate"].state == "failed"
    assert steps["Trainer"].state == "not run"
    assert steps["Trainer"].seconds is None
    assert not summary.complete
    assert summary.blessed is None
    assert summary.version is None


def test_a_run_until_its_validation_has_the_steps_up_to_there(recorder: Recorder) -> None:
    for component in steps_until("validation"):
        recorder.execution("a", component)
    history = RunHistory(recorder.folder)
    summary = summarize(history, "a", "validation")
    assert [step.component for step in summary.steps][-2:] == ["TextCleaner", "DataGate"]
    assert summary.complete
    assert (summary.until, summary.version, summary.blessed) == ("validation", None, None)
    assert not summarize(history, "a", "examples").complete
    assert not summarize(history, "a").complete


def finish(recorder: Recorder, run: str, state: int, *, blessed: int = 1) -> None:
    blessing = recorder.artifact("ModelBlessing", blessed=blessed)
    properties: dict[str, Any] = {"pushed": blessed}
    if blessed:
        properties |= {"pushed_version": "17", "pushed_destination": "/s/17"}
    pushed = recorder.artifact("PushedModel", **properties)
    outputs = {"Evaluator": {"blessing": blessing}, "Pusher": {"pushed_model": pushed}}
    for component in COMPONENTS:
        resolvers = (
            "LastApprovedStatistics",
            "TrainedEarlier",
            "LastApprovedExamples",
            "LastBlessedModel",
            "TrainingStart",
        )
        of = Execution.CACHED if component in resolvers else state
        recorder.execution(run, component, of, outputs=outputs.get(component))


def test_a_run_that_pushed(recorder: Recorder) -> None:
    finish(recorder, "a", Execution.COMPLETE)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert summary.blessed is True
    assert (summary.version, summary.destination) == ("17", "/s/17")
    assert {step.state for step in summary.steps} == {"done"}
    figures = {step.component: step.figures for step in summary.steps}
    assert figures["Pusher"] == "version 17"
    assert figures["LastBlessedModel"] == "none yet"
    assert figures["TextExampleGen"] == ""  # its files are gone


def test_a_blessed_model_that_was_not_pushed_says_why(recorder: Recorder) -> None:
    blessing = recorder.artifact("ModelBlessing", blessed=1)
    pushed = recorder.artifact("PushedModel", pushed=0, reason="it has seen older text")
    recorder.execution("a", "Evaluator", outputs={"blessing": blessing})
    recorder.execution("a", "Pusher", outputs={"pushed_model": pushed})
    summary = summarize(RunHistory(recorder.folder), "a")
    assert (summary.blessed, summary.version) == (True, None)
    assert summary.reasons == ["it has seen older text"]


def test_a_run_that_computed_nothing(recorder: Recorder) -> None:
    finish(recorder, "a", Execution.CACHED)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert {step.state for step in summary.steps} == {"cached", "done"}  # resolvers look anew
    assert summary.version == "17"


def test_a_version_that_was_rolled_back_since(recorder: Recorder) -> None:
    finish(recorder, "a", Execution.CACHED)
    history = RunHistory(recorder.folder)
    (artifact,) = history.pushed()
    history.set_rolled_back(artifact, True)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert (summary.version, summary.rolled_back) == (None, "17")
    assert summary.reasons == ["version 17 was rolled back"]
    assert summary.steps[-1].figures == "version 17, rolled back"


def test_a_run_that_was_not_blessed(recorder: Recorder) -> None:
    finish(recorder, "a", Execution.COMPLETE, blessed=0)
    summary = summarize(RunHistory(recorder.folder), "a")
    assert summary.complete
    assert summary.blessed is False
    assert summary.version is None
    assert summary.steps[-1].figures == "not pushed"


def test_key_figures_of_training_and_examples(recorder: Recorder) -> None:
    model_run, examples = recorder.artifact("ModelRun"), recorder.artifact("Examples")
    recorder.execution("a", "ExampleBuilder", outputs={"examples": examples})
    recorder.execution("a", "Trainer", outputs={"model_run": model_run})
    history = RunHistory(recorder.folder)
    nodes = history.nodes("a")
    write(
        nodes["Trainer"].output("model_run").uri,  # type: ignore[union-attr]
        "training.jsonl",
        '{"step": 10, "loss": 7.25}\n{"step": 1200, "loss": 3.5}\n',
    )
    split = {"examples": 5000, "padding_share": 0.125}
    older = {"examples": 300}
    write(
        nodes["ExampleBuilder"].output("examples").uri,  # type: ignore[union-attr]
        "examples.json",
        {
            "splits": {"train": split, "eval": {"examples": 0}, "test": {"examples": 7}},
            "older": older,
        },
    )
    figures = {step.component: step.figures for step in summarize(history, "a").steps}
    assert figures["Trainer"] == "1,200 steps, loss 7.25 → 3.50"
    seeds = SeedRuns((SeedRun(3, {"loss": 2.0}), SeedRun(4, {"loss": 1.0})))
    seeds.write(nodes["Trainer"].output("model_run").uri)  # type: ignore[union-attr]
    figures = {step.component: step.figures for step in summarize(history, "a").steps}
    assert figures["Trainer"].endswith("; seed 4 is the best of 2, eval loss 1.500 ± 0.707")
    assert figures["ExampleBuilder"] == "5,000 + 7 examples, 300 of older spans, 12% padding"


def test_what_was_set_aside_is_told_by_its_kind(recorder: Recorder) -> None:
    documents, cleaned = recorder.artifact("Examples"), recorder.artifact("Examples")
    approval = recorder.artifact(
        "PolysemeExamplesApproval", unknown_share=0.0125, tokens_per_word=1.4375
    )
    recorder.execution("a", "TextExampleGen", outputs={"examples": documents})
    recorder.execution("a", "TextCleaner", outputs={"cleaned": cleaned})
    recorder.execution("a", "ExampleGate", outputs={"approval": approval})
    history = RunHistory(recorder.folder)
    nodes = history.nodes("a")
    write(
        nodes["TextExampleGen"].output("examples").uri,  # type: ignore[union-attr]
        "ingestion.json",
        {
            "splits": {
                "train": {"documents": 70},
                "eval": {"documents": 4},
                "test": {"documents": 9},
            },
            "quarantined": 11,
            "unreadable": [{"file": "a"}, {"file": "b"}, {"file": "b"}],
            "empty": 10,
        },
    )
    held_out = {"dropped": {}, "quarantined": 0}
    train = {"kept": 60, "dropped": {"duplicate": 8, "too short": 2}, "quarantined": 2}
    write(
        nodes["TextCleaner"].output("cleaned").uri,  # type: ignore[union-attr]
        "cleaning.json",
        {
            "splits": {
                "train": train,
                "eval": {"kept": 4, **held_out},
                "test": {"kept": 9, **held_out},
            }
        },
    )
    figures = {step.component: step.figures for step in summarize(history, "a").steps}
    assert figures["TextExampleGen"] == (
        "70 + 9 + 4 documents, 1 quarantined, 10 empty, 2 unreadable files"
    )
    assert figures["TextCleaner"] == "60 + 9 + 4 documents, 2 quarantined, 8 dropped"
    assert figures["ExampleGate"] == "1.2% unknown, 1.44 tokens a word"


def test_key_figures_of_tuning(recorder: Recorder) -> None:
    for run in ("good", "bad", "old"):
        results = recorder.artifact("TunerResults")
        recorder.execution(run, "Tuner", outputs={"tuner_results": results})
    history = RunHistory(recorder.folder)
    trials = (
        Trial(1, {"training.optimizer.learning_rate": 0.00123456}, 5.25),
        Trial(2, {"training.optimizer.learning_rate": 1.0}, None, "the loss is nan"),
    )
    for run, found in (("good", trials), ("bad", trials[1:])):
        folder = pathlib.Path(
            history.nodes(run)["Tuner"].output("tuner_results").uri  # type: ignore[union-attr]
        )
        folder.mkdir(parents=True)
        Search("random", 20, (), found).write(folder)
    write(
        history.nodes("old")["Tuner"].output("tuner_results").uri,  # type: ignore[union-attr]
        "trials.json",
        {"of": "another version"},
    )
    for run, figures in (
        ("good", "2 trials, 1 failed, loss 5.250 with learning_rate 0.001235"),
        ("bad", "1 trials, 1 failed"),
        ("old", ""),
    ):
        steps = {step.component: step for step in summarize(history, run).steps}
        assert (steps["Tuner"].state, steps["Tuner"].figures) == ("done", figures)


def test_what_resolvers_found_is_read_off_the_steps_that_got_it(recorder: Recorder) -> None:
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
        ("second", ["of span 2024-05-01", *[f"model {model}, of span 1, 2024-05-01"] * 2]),
    ):
        steps = {step.component: step for step in summarize(history, run).steps}
        assert [steps[resolver].figures for resolver in resolvers] == shown


def test_metrics_stand_with_their_intervals_and_reasons_with_what_was_left_out(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = Judgement(
        metrics={"masked_lm_accuracy": Interval(0.2581, 0.2514, 0.2649)},
        served=None,
        changes={},
        units=8,
        documents=True,
        confidence=0.95,
        reasons=["masked_lm_accuracy is 0.2581 [0.2514, 0.2649]; the lower end has to be …"],
        notes=["loss is not compared"],
    )
    figures = {"masked_lm_accuracy": 0.2581, "bigram_perplexity": 61.87}
    found = Evaluation(False, [SliceMetrics("overall", 100, figures, None)], judgement)
    monkeypatch.setattr("components.evaluation.results.read_evaluation", lambda uri: found)
    outputs = {
        "blessing": recorder.artifact("ModelBlessing", blessed=0),
        "evaluation": recorder.artifact("ModelEvaluation"),
    }
    recorder.execution("a", "Evaluator", Execution.COMPLETE, outputs=outputs)
    summary = summarize(RunHistory(recorder.folder), "a")
    (evaluator,) = [step for step in summary.steps if step.component == "Evaluator"]
    assert evaluator.figures == "masked lm accuracy 0.258 [0.251, 0.265], bigram perplexity 61.9"
    assert summary.reasons == judgement.reasons
    assert summary.notes == ["loss is not compared"]
    assert summary.metrics == figures
