"""What the report is told about a run: what it did, and nothing of what it did not come to."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.reporting.inputs import Dropped, TrainingPoint
from components.training.seed_results import SeedRun, SeedRuns
from components.tuning.trials import Search, Trial
from components.validation.gate_checks import Check, refuse
from models.errors import ConfigError, DataRefused
from models.registry import FAMILIES
from models.training.platform import Platform
from pipeline.cli import main as cli
from pipeline.config import PipelineConfig
from pipeline.metadata.queries import RunHistory
from pipeline.recipes import bert_tiny
from pipeline.reporting import REPORT, compare_runs, gather, last_run, report_run
from pipeline.span_history import Attempt, write_attempt
from pipeline.summary import summarize
from tests.testdata.recorded_runs import Recorder

PLATFORMS = [
    Platform(0, "mine", ("avx2",), "CPU", 1, onednn=True, xla=False, tensorflow="2.0"),
    Platform(9, "", (), "GPU", 2, onednn=False, xla=True, tensorflow="2.0"),
]


@pytest.fixture
def recorder(tmp_path: pathlib.Path) -> Recorder:
    return Recorder(tmp_path / "mine")


@pytest.fixture
def config(tmp_path: pathlib.Path) -> PipelineConfig:
    return dataclasses.replace(bert_tiny(), name="mine", recipe="bert_tiny", runs=str(tmp_path))


def write(history: RunHistory, component: str, output: str, name: str, content: Any) -> None:
    artifact = history.nodes("a")[component].output(output)
    assert artifact is not None
    path = pathlib.Path(artifact.uri) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in content))


def record(recorder: Recorder) -> RunHistory:
    """A run that was trained, but never evaluated and whose model is gone."""
    documents = recorder.artifact("Examples", span_label="2024-05-01")
    run = recorder.artifact("ModelRun")
    recorder.execution(
        "a",
        "TextExampleGen",
        parameters={"span": 739007, "fingerprint": "c0ffee"},
        outputs={"examples": documents},
    )
    custom = json.dumps({"provenance": json.dumps({"code": "git 0"})})
    recorder.execution(
        "a", "Trainer", parameters={"custom_config": custom}, outputs={"model_run": run}
    )
    history = RunHistory(recorder.folder)
    ingestion = {"quarantined": 2, "quarantined_by_reason": {"no text": 2}}
    write(history, "TextExampleGen", "examples", "ingestion.json", [ingestion])
    cleaned = recorder.artifact("Examples")
    recorder.execution("a", "TextCleaner", outputs={"cleaned": cleaned})
    example = {"id": "d1", "detail": "of d0", "start": "A text"}
    cleaning = {
        "splits": {"train": {"dropped": {"duplicate": 2}}, "eval": {"dropped": {"duplicate": 1}}},
        "examples": {"duplicate": [example]},
    }
    write(history, "TextCleaner", "cleaned", "cleaning.json", [cleaning])
    line = {
        "step": 20,
        "loss": 3.5,
        "masked_lm_nll_sum": 2.8,
        "next_sentence_nll_sum": 0.7,
        "learning_rate": 0.001,
        "tokens_per_second": 900.0,
        "gradient_norm": 1.5,
        "padding_share": 0.1,
        "seconds": 4.0,
    }
    write(history, "Trainer", "model_run", "training.jsonl", [line])
    write(history, "Trainer", "model_run", "platform.jsonl", map(dataclasses.asdict, PLATFORMS))
    return history


def test_checks_of_a_gate_that_opened_and_of_one_that_refused(
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
        refuse([bad], {}, gate="ExampleGate", span=739007, folder=str(quarantine))
    found = gather(config, history, summarize(history, "a")).checks
    assert found == [("DataGate", good), ("ExampleGate", bad)]


def test_what_the_run_did(recorder: Recorder, config: PipelineConfig) -> None:
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
    assert found.computed_on == [
        (0, "CPU, mine (avx2), oneDNN on, XLA off, TensorFlow 2.0"),
        (9, "2 × GPU, unknown processor, oneDNN off, XLA on, TensorFlow 2.0"),
    ]
    assert [step.state for step in found.steps].count("done") == 3
    assert found.metrics == FAMILIES["bert"].metrics(config.model.objective)


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
    assert gather(config, history, summarize(history, "a")).seeds is None  # there was one
    seeds = SeedRuns((SeedRun(0, {"loss": 2.0}), SeedRun(1, {"loss": 1.0})))
    seeds.write(artifact.uri)
    assert gather(config, history, summarize(history, "a")).seeds == seeds


def test_what_the_run_did_not_come_to(recorder: Recorder, config: PipelineConfig) -> None:
    history = record(recorder)
    found = gather(config, history, summarize(history, "a"))
    assert found.evaluation == {}
    assert found.search is None
    assert found.history == []
    assert found.predictions == []
    assert found.bank is None
    assert found.version is None
    assert found.blessed is None


def test_the_report_lies_in_the_pipelines_folder(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    path = report_run(config, history, summarize(history, "a"))
    assert path == recorder.folder / REPORT
    page = path.read_text(encoding="utf-8")
    assert "c0ffee" in page
    assert "no text" in page
    assert "<td>a</td>" in page  # the run's id


def test_what_is_gone_or_damaged_is_told_and_the_rest_is_shown(
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
        "the evaluation",
        "the statistics",
        "the quarantine",
        "what cleaning dropped",
        "what training computed on",
        "the evaluation of run a",
    ]
    assert (found.blessed, found.training[0].loss) == (True, 3.5)
    assert [version.figures for version in found.history] == [{}]
    page = report_run(config, history, summarize(history, "a")).read_text(encoding="utf-8")
    assert page.count("Not shown, as it cannot be read: ") == 6


def test_in_a_moved_folder_the_report_lies_where_the_folder_is(
    recorder: Recorder, config: PipelineConfig, tmp_path: pathlib.Path
) -> None:
    record(recorder)
    moved = shutil.copytree(recorder.folder, tmp_path / "other" / "mine")
    history = RunHistory(moved)
    assert report_run(config, history, summarize(history, "a")) == moved / REPORT
    assert not (recorder.folder / REPORT).exists()


def test_a_rerun_whose_steps_were_all_cached_has_its_own_report(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    report_run(config, history, summarize(history, "a"))
    for component in ("TextExampleGen", "Trainer"):
        node = history.nodes("a")[component]
        recorder.execution(
            "b",
            component,
            mlmd.Execution.CACHED,
            parameters=node.parameters,
            outputs={name: made[0].id for name, made in node.outputs.items()},
        )
    history = RunHistory(recorder.folder)
    page = report_run(config, history, summarize(history, "b")).read_text(encoding="utf-8")
    assert "<td>b</td>" in page
    assert page.count("<td>cached</td>") == 2


@pytest.fixture
def holder(recorder: Recorder) -> Iterator[None]:
    """Another process that is at work in the folder."""
    program = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'a+')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(recorder.folder / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def begin(recorder: Recorder, config: PipelineConfig, run_id: str) -> None:
    (recorder.folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    write_attempt(recorder.folder, Attempt(run_id, 1, "1"))


@pytest.mark.usefixtures("holder")
def test_the_report_of_a_run_at_work_says_so_and_replaces_nothing(
    recorder: Recorder, config: PipelineConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    record(recorder)
    recorder.execution("a", "Evaluator", mlmd.Execution.RUNNING)
    begin(recorder, config, "a")
    old = recorder.folder / REPORT
    old.write_text("of the run before", encoding="utf-8")
    given = ["--name", "mine", "--runs", str(recorder.folder.parent)]
    assert cli.main(["report", *given]) == 0
    printed = capsys.readouterr()
    path = pathlib.Path(printed.out.strip())
    assert path == recorder.folder / "report.running.html"
    assert "run a is still at work; report.html stays as it is" in printed.err
    page = path.read_text(encoding="utf-8")
    assert "Still running</span>" in page
    assert "<td>Evaluator</td><td>running</td>" in page
    assert "Interrupted" not in page
    assert old.read_text(encoding="utf-8") == "of the run before"
    assert cli.main(["compare", "mine", "mine", *given[2:]]) == 0
    assert capsys.readouterr().out.strip().endswith("comparison.running.html")
    assert not (recorder.folder.parent / "comparison.html").exists()


@pytest.mark.usefixtures("holder")
def test_a_run_that_has_only_begun_is_at_work_too(
    recorder: Recorder, config: PipelineConfig
) -> None:
    record(recorder)
    begin(recorder, config, "b")
    _, _, summary, at_work = last_run(recorder.folder)
    assert (summary.run_id, at_work) == ("b", True)
    assert {step.state for step in summary.steps} == {"not run"}


def test_the_end_of_a_run_removes_the_page_of_the_run_at_work(
    recorder: Recorder, config: PipelineConfig
) -> None:
    history = record(recorder)
    begin(recorder, config, "a")  # killed since: nobody holds the lock
    assert last_run(recorder.folder)[3] is False
    path = report_run(config, history, summarize(history, "a"), at_work=True)
    report_run(config, history, summarize(history, "a"))
    assert not path.exists()


def test_a_comparison_lies_beside_the_pipelines_folders(
    recorder: Recorder, config: PipelineConfig, tmp_path: pathlib.Path
) -> None:
    record(recorder)
    folder = tmp_path / "mine"
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    found, _, summary, at_work = last_run(folder)
    assert (found, summary.run_id, at_work) == (config, "a", False)
    path = compare_runs([folder, folder])
    assert path == tmp_path / "comparison.html"
    assert path.read_text(encoding="utf-8").count("Figures of mine, span 2024-05-01") == 2


def test_a_pipeline_that_never_ran_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError, match="no run has been here") as error:
        last_run(tmp_path / "new")
    assert str(tmp_path / "new") in (error.value.where or "")
