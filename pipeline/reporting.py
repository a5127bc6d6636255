"""Gathers what a report shows out of ML Metadata and the artifacts of a run."""

from __future__ import annotations

import datetime
import functools
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from components.evaluation.results import Evaluation, read_evaluation
from components.layout import CHECKS_FILE, CLEANING_FILE, INGESTION_FILE, SAVED_MODEL_FOLDER
from components.reporting.inputs import (
    Dropped,
    Prediction,
    ReportInputs,
    StepState,
    TrainingPoint,
    Version,
    example_predictions,
    largest_slices,
    read_dropped,
    read_quarantined,
    read_training_log,
)
from components.reporting.prompts import Prompts, held_out_prompts
from components.reporting.report import write_comparison, write_report
from components.reporting.word_senses import WordVectors, bank_vectors
from components.training.seed_results import SEEDS_FILE, SeedRuns
from components.tuning.trials import TRIALS_FILE, Search
from components.validation.corpus_statistics import SplitStatistics, corpus_statistics
from components.validation.gate_checks import Check, evidence_file, read_checks
from models.errors import ConfigError, PolysemeError
from models.registry import FAMILIES
from models.training.layout import TRAINING_LOG
from models.training.platform import PLATFORM_FILE, read_platforms
from pipeline.at_work import process_at_work
from pipeline.config import PipelineConfig
from pipeline.layout import QUARANTINE
from pipeline.metadata.lineage import provenance_of
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.span_history import read_attempts
from pipeline.summary import Summary, blessing_of, summarize
from pipeline.terminal.failures import in_a_line

T = TypeVar("T")
_log = logging.getLogger(__name__)

REPORT = "report.html"
COMPARISON = "comparison.html"
REPORT_AT_WORK, COMPARISON_AT_WORK = "report.running.html", "comparison.running.html"
"""Pages about a run that has not ended: they replace no page about one that has."""


def report_run(
    config: PipelineConfig, history: RunHistory, summary: Summary, *, at_work: bool = False
) -> pathlib.Path:
    """Writes a page about one run and those before it into the pipeline's folder.

    Args:
        config: the pipeline's.
        history: its runs.
        summary: the run.
        at_work: whether the run has not ended; the page then says so and is another file.
    """
    path = history.folder / (REPORT_AT_WORK if at_work else REPORT)
    write_report(gather(config, history, summary, at_work=at_work), path)
    if not at_work:
        (history.folder / REPORT_AT_WORK).unlink(missing_ok=True)
    return path


def compare_runs(folders: Sequence[pathlib.Path]) -> pathlib.Path:
    """Writes a page beside pipelines' folders, about the last run of each.

    Returns:
        `comparison.html`, or `comparison.running.html` if one of the runs has not ended.

    Raises:
        ConfigError: no run has been in a folder.
    """
    models, any_at_work = [], False
    for folder in folders:
        config, history, summary, at_work = last_run(folder)
        models.append(gather(config, history, summary, at_work=at_work))
        any_at_work |= at_work
    path = folders[0].parent / (COMPARISON_AT_WORK if any_at_work else COMPARISON)
    write_comparison(models, path)
    return path


def last_run(folder: pathlib.Path) -> tuple[PipelineConfig, RunHistory, Summary, bool]:
    """The last run of a pipeline's folder, and whether it is at work.

    Raises:
        ConfigError: no run has been there.
    """
    process = process_at_work(folder)  # first: a run that ends from here on is at work for us
    history = RunHistory(folder)
    run_ids = history.run_ids()
    begun = [attempt.run_id for attempt in read_attempts(folder) if not attempt.has_ended]
    at_work = process is not None and bool(begun) and begun[-1] >= max(run_ids, default="")
    if not run_ids and not at_work:
        raise ConfigError("no run has been here", where=str(folder))
    config = PipelineConfig.read(folder)
    last = begun[-1] if at_work else run_ids[-1]
    return config, history, summarize(history, last), at_work


def gather(
    config: PipelineConfig, history: RunHistory, summary: Summary, *, at_work: bool = False
) -> ReportInputs:
    """Everything the report shows; what a run did not come to is left out.

    What is gone or damaged since is left out too, and told.
    """
    part = _Parts()
    nodes = {name: node for name, node in history.nodes(summary.run_id).items() if node.succeeded}
    ingestion = nodes.get("TextExampleGen")
    provenance = _provenance(nodes)
    evaluation = part("the evaluation", lambda: _evaluation(nodes), None)
    found = {figures.name: figures for figures in evaluation.slices} if evaluation else {}
    shown, more_slices = largest_slices({name: each.examples for name, each in found.items()})
    slices = [found[name] for name in shown]
    judgement = evaluation.judgement if evaluation else None
    prompts = part("the held-out text", lambda: _prompts(nodes), Prompts())
    no_answers: tuple[list[Prediction], WordVectors | None] = [], None
    layers = config.model.backbone.num_layers
    predictions, bank = part("the model", lambda: _answers(nodes, layers, prompts), no_answers)
    gates = history.nodes(summary.run_id)
    return ReportInputs(
        name=config.name,
        recipe=config.recipe,
        family=config.model.family,
        span=ingestion.span_label if ingestion else None,
        fingerprint=ingestion.parameters["fingerprint"] if ingestion else "",
        code_version=provenance.get("commit") or provenance.get("code", ""),
        version=summary.version,
        run_id=summary.run_id,
        at_work=f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S}" if at_work else "",
        blessed=summary.blessed,
        reasons=summary.reasons,
        notes=summary.notes,
        steps=_steps(summary, at_work),
        corpus=part("the statistics", lambda: _corpus(nodes), {}),
        quarantined=part("the quarantine", lambda: _quarantined(nodes), {}),
        dropped=part("what cleaning dropped", lambda: _dropped(nodes), []),
        checks=part("the gates' checks", lambda: _checks(history.folder, gates), []),
        search=part("the trials", lambda: _search(nodes), None),
        seeds=part("the seeds", lambda: _seeds(nodes), None),
        training=part("the training's log", lambda: _training(nodes), []),
        computed_on=part("what training computed on", lambda: _computed_on(nodes), []),
        metrics=FAMILIES[config.model.family].metrics(config.model.objective),
        evaluation={figures.name: figures.candidate for figures in slices},
        previous={figures.name: figures.baseline for figures in slices if figures.baseline},
        more_slices=more_slices,
        intervals=judgement.metrics if judgement else {},
        changes=judgement.changes if judgement else {},
        resampled=judgement.resampling_note() if judgement else "",
        history=_history(history, summary.run_id, part),
        predictions=predictions,
        bank=bank,
        unreadable=part.unreadable,
    )


class _Parts:
    """Reads the parts of a run.

    Attributes:
        unreadable: the parts that are gone or damaged, and why, in sentences.
    """

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def __call__(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        """A part, or what stands for it where a library, or we, cannot read it."""
        try:
            return read()
        except Exception as error:
            _log.info("%s cannot be read", name, exc_info=True)
            self.unreadable.append(f"Not shown, as it cannot be read: {name}: {in_a_line(error)}")
            return otherwise


def _steps(summary: Summary, at_work: bool) -> list[StepState]:
    """What became of each component; nobody has recorded the end of one that is at work."""
    return [
        StepState(step.component, "running", None)
        if at_work and step.state == "interrupted"
        else StepState(step.component, step.state, step.seconds)
        for step in summary.steps
    ]


def _uri(nodes: Mapping[str, NodeRecord], component: str, output: str) -> pathlib.Path | None:
    artifact = nodes[component].output(output) if component in nodes else None
    return pathlib.Path(artifact.uri) if artifact else None


def _provenance(nodes: Mapping[str, NodeRecord]) -> Mapping[str, Any]:
    return provenance_of(nodes["Trainer"]) if "Trainer" in nodes else {}


def _corpus(nodes: Mapping[str, NodeRecord]) -> Mapping[str, SplitStatistics]:
    folder = _uri(nodes, "StatisticsGen", "statistics")
    return corpus_statistics(str(folder)).splits if folder else {}


def _quarantined(nodes: Mapping[str, NodeRecord]) -> Mapping[str, int]:
    folder = _uri(nodes, "TextExampleGen", "examples")
    return read_quarantined(folder / INGESTION_FILE) if folder else {}


def _dropped(nodes: Mapping[str, NodeRecord]) -> list[Dropped]:
    folder = _uri(nodes, "TextCleaner", "cleaned")
    return read_dropped(folder / CLEANING_FILE) if folder else []


def _checks(pipeline: pathlib.Path, nodes: Mapping[str, NodeRecord]) -> list[tuple[str, Check]]:
    """What the gates checked; of one that refused, what it left outside of its artifact."""
    found = []
    for gate in ("DataGate", "ExampleGate"):
        if gate not in nodes:
            continue
        if nodes[gate].succeeded:
            folder = _uri(nodes, gate, "approval")
            path = folder / CHECKS_FILE if folder else None
        else:
            span = nodes["TextExampleGen"].parameters["span"]
            path = evidence_file(pipeline / QUARANTINE, gate, span)
        if path and path.exists():
            found += [(gate, check) for check in read_checks(path)]
    return found


def _search(nodes: Mapping[str, NodeRecord]) -> Search | None:
    folder = _uri(nodes, "Tuner", "tuner_results")
    return Search.read(folder) if folder and (folder / TRIALS_FILE).exists() else None


def _seeds(nodes: Mapping[str, NodeRecord]) -> SeedRuns | None:
    folder = _uri(nodes, "Trainer", "model_run")
    return SeedRuns.read(folder) if folder and (folder / SEEDS_FILE).exists() else None


def _training(nodes: Mapping[str, NodeRecord]) -> list[TrainingPoint]:
    folder = _uri(nodes, "Trainer", "model_run")
    return read_training_log(folder / TRAINING_LOG) if folder else []


def _computed_on(nodes: Mapping[str, NodeRecord]) -> list[tuple[int, str]]:
    folder = _uri(nodes, "Trainer", "model_run")
    platforms = read_platforms(folder / PLATFORM_FILE) if folder else []
    return [(platform.first_step, str(platform)) for platform in platforms]


def _evaluation(nodes: Mapping[str, NodeRecord]) -> Evaluation | None:
    folder = _uri(nodes, "Evaluator", "evaluation")
    return read_evaluation(str(folder)) if folder else None


def _overall(uri: str) -> Mapping[str, float]:
    return read_evaluation(uri).overall.candidate


def _prompts(nodes: Mapping[str, NodeRecord]) -> Prompts:
    documents = _uri(nodes, "TextCleaner", "cleaned")
    return held_out_prompts(documents) if documents else Prompts()


def _history(history: RunHistory, last: str, part: _Parts) -> list[Version]:
    """The evaluations up to a run, oldest first; a cached one is the run's that computed it."""
    versions: dict[int, Version] = {}
    for run_id in history.run_ids():
        nodes = {name: node for name, node in history.nodes(run_id).items() if node.succeeded}
        artifact = nodes["Evaluator"].output("evaluation") if "Evaluator" in nodes else None
        if artifact is not None and artifact.id not in versions:
            nothing: Mapping[str, float] = {}
            read = functools.partial(_overall, artifact.uri)
            figures = part(f"the evaluation of run {run_id}", read, nothing)
            span = nodes["TextExampleGen"].span_label
            label = f"span {span}, run {len(versions) + 1}"
            pushed = nodes["Pusher"].output("pushed_model") if "Pusher" in nodes else None
            label += ", rolled back" if pushed and pushed.rolled_back else ""
            versions[artifact.id] = Version(label, figures, blessing_of(nodes))
        if run_id == last:
            break
    return list(versions.values())


def _answers(
    nodes: Mapping[str, NodeRecord], layers: int, prompts: Prompts
) -> tuple[list[Prediction], WordVectors | None]:
    """The exported model's answers about the held-out text, and its vectors of an ambiguous word.

    Args:
        nodes: the run's nodes.
        layers: layers of the model.
        prompts: what it is asked.
    """
    folder = _uri(nodes, "Trainer", "model")
    if folder is None:
        return [], None
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    model = tf.saved_model.load(str(folder / SAVED_MODEL_FOLDER))

    def ask(name: str) -> Any:
        if name not in model.signatures:
            return None
        signature = model.signatures[name]

        kinds = {spec.name: spec.dtype for spec in signature.structured_input_signature[1].values()}

        def call(**values: list[Any]) -> dict[str, Any]:
            given = {key: tf.constant(value, kinds[key]) for key, value in values.items()}
            return {key: value.numpy() for key, value in signature(**given).items()}

        return call

    predictions = example_predictions(
        prompts,
        fill_mask=ask("fill_mask"),
        next_sentence=ask("next_sentence"),
        generate=ask("generate"),
    )
    try:
        return predictions, bank_vectors(ask("hidden_states"), layers)
    except PolysemeError:  # a vocabulary, of another language perhaps, that cannot read the word
        return predictions, None
