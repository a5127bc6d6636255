"""The inputs of a report: the parts that a run reached, and why a part cannot be read."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.reporting.inputs import Dropped, TrainingPoint
from components.training.seed_results import SeedRun, SeedRuns
from components.tuning.trials import Search, Trial
from components.validation.gate_checks import Check, refuse_if_failed
from models.errors import DataRefused
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory
from pipeline.recipes import bert_tiny
from pipeline.report_inputs import gather
from pipeline.reporting import report_run
from pipeline.summary import summarize
from tests.pipeline.trained_run import record, write
from tests.testdata.recorded_runs import Recorder


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path / "mine")


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    return dataclasses.replace(bert_tiny(), name="mine", recipe="bert_tiny", runs=str(tmp_path))


def test_checks_of_a_gate_that_approved_and_of_one_that_refused(
    recorder: Recorder, config: PipelineConfig
) -> None:
    record(recorder)
    approval = recorder.artifact("PolysemeDataApproval")
    recorder.execution("a", "DataGate", outputs={"approval": approval})
    recorder.execution("a", "ExampleGate", mlmd.Execution.FAILED)
    history = RunHistory(recorder.folder)
    good = Check("train", "documents", "30", "at least 2", True, examples=[])
    write(history, "DataGate", "approval", "checks.json", [[dataclasses.asdict(good)]])
    bad = dataclasses.replace(good, passed=False)
    quarantine = config.folder / "quarantine"
    with pytest.raises(DataRefused):
        refuse_if_failed([bad], {}, gate="ExampleGate", span=739007, folder=str(quarantine))
    found = gather(config, history, summarize(history, "a")).checks
    assert found == [("DataGate", good), ("ExampleGate", bad)]


def test_results_of_steps_that_succeeded(recorder: Recorder, config: PipelineConfig) -> None:
    history = record(recorder)
    found = gather(config, history, summarize(history, "a"))
    assert (found.name, found.recipe, found.span) == ("mine", "bert_tiny", "2024-05-01")
    assert (found.fingerprint, found.code_version) == ("c0ffee", "git 0")
    assert found.quarantined == {"no text": 2}
    example = ("d1", "of d0", "A text")
    assert found.dropped == [Dropped("duplicate", 3, (example,))]
    assert found.training == [
        TrainingPoint(
            step=20,
            loss=3.5,
            terms={"masked_lm_nll_sum": 2.8, "next_sentence_nll_sum": 0.7},
            learning_rate=0.001,
            tokens_per_second=900.0,
            gradient_norm=1.5,
            padding_share=0.1,
            seconds=4.0,
        )
    ]
    assert found.platforms == [
        (0, "CPU, mine (avx2), oneDNN on, XLA off, TensorFlow 2.0"),
        (9, "2 × GPU, unknown processor, oneDNN off, XLA on, TensorFlow 2.0"),
    ]
    assert [step.state for step in found.steps].count("done") == 3
    assert found.metrics == config.model.objective.metrics()


def test_the_trials_of_a_search(recorder: Recorder, config: PipelineConfig) -> None:
    history = record(recorder)
    results = recorder.artifact("TunerResults")
    recorder.execution("a", "Tuner", outputs={"tuner_results": results})
    artifact = history.nodes("a")["Tuner"].output("tuner_results")
    assert artifact is not None
    folder = pathlib.Path(artifact.uri)
    assert gather(config, history, summarize(history, "a")).search is None  # its file is gone
    folder.mkdir(parents=True)
    search = Search("random", 20, (), (Trial(1, {"training.batch_size": 8}, 5.5),))
    search.write(folder)
    found = gather(config, history, summarize(history, "a"))
    assert found.search == search
    assert [step.component for step in found.steps].count("Tuner") == 1


def test_the_seeds_of_a_training(recorder: Recorder, config: PipelineConfig) -> None:
    history = record(recorder)
    artifact = history.nodes("a")["Trainer"].output("model_run")
    assert artifact is not None
    assert gather(config, history, summarize(history, "a")).seeds is None  # there was only one
    seeds = SeedRuns((SeedRun(0, {"loss": 2.0}), SeedRun(1, {"loss": 1.0})))
    seeds.write(artifact.uri)
    assert gather(config, history, summarize(history, "a")).seeds == seeds


def test_parts_that_the_run_did_not_reach_are_left_out(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    found = gather(config, history, summarize(history, "a"))
    assert found.evaluation == {}
    assert found.search is None
    assert found.history == []
    assert found.predictions == []
    assert found.word_vectors is None
    assert found.version is None
    assert found.blessed is None


def test_unreadable_parts_are_listed_and_the_rest_is_shown(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    for name in ("StatisticsGen", "Evaluator"):  # their folders are not there
        outputs = {"statistics": recorder.artifact("ExampleStatistics")}
        if name == "Evaluator":
            outputs = {
                "evaluation": recorder.artifact("ModelEvaluation"),
                "blessing": recorder.artifact("ModelBlessing", blessed=1),
            }
        recorder.execution("a", name, outputs=outputs)
    for component, output, name in (
        ("TextExampleGen", "examples", "ingestion.json"),
        ("TextCleaner", "cleaned", "cleaning.json"),
        ("Trainer", "model_run", "platform.jsonl"),
    ):
        artifact = history.nodes("a")[component].output(output)
        assert artifact is not None
        (pathlib.Path(artifact.uri) / name).write_bytes(b"\xff{")
    history = RunHistory(recorder.folder)
    found = gather(config, history, summarize(history, "a"))
    assert [line.split(": ")[1] for line in found.unreadable] == [
        "the statistics",
        "the quarantine",
        "the dropped documents",
        "the platforms of training",
        "the evaluation",
        "the evaluation of run a",
    ]
    assert (found.blessed, found.training[0].loss) == (True, 3.5)
    assert [version.metrics for version in found.history] == [{}]
    page = report_run(config, history, summarize(history, "a")).read_text(encoding="utf-8")
    assert page.count("Not shown because it cannot be read: ") == 6
