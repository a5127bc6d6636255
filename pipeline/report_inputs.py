"""Collects what a report shows from ML Metadata, the artifacts of a run, and its exported model."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from components.evaluation.results import Evaluation, read_evaluation
from components.layout import CHECKS_FILE, CLEANING_FILE, INGESTION_FILE, SAVED_MODEL_FOLDER
from components.reporting.inputs import (
    Dropped,
    ReportInputs,
    StepState,
    TrainingPoint,
    Version,
    largest_slices,
)
from components.reporting.predictions import Prediction, example_predictions
from components.reporting.prompts import Prompts, held_out_prompts
from components.reporting.run_files import read_dropped, read_quarantined, read_training_log
from components.reporting.word_senses import WordVectors, word_vectors
from components.training.seed_results import SEEDS_FILE, SeedRuns
from components.tuning.trials import TRIALS_FILE, Search
from components.validation.corpus_statistics import SplitStatistics, corpus_statistics
from components.validation.gate_checks import Check, evidence_file, read_checks
from models.errors import PolysemeError
from models.training.layout import TRAINING_LOG
from models.training.platform import PLATFORM_FILE, read_platforms
from pipeline.config import PipelineConfig
from pipeline.layout import QUARANTINE
from pipeline.metadata.lineage import provenance_of
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.summary import Summary, blessing_of
from pipeline.terminal.failures import one_line

T = TypeVar("T")
Nodes = Mapping[str, NodeRecord]
"""Steps of a run by name."""
_log = logging.getLogger(__name__)


def gather(
    config: PipelineConfig, history: RunHistory, summary: Summary, *, is_running: bool = False
) -> ReportInputs:
    """Everything that the report of a run shows.

    Parts that the run did not reach are left out. Parts whose files are gone or damaged are left
    out too, and `ReportInputs.unreadable` says why.

    Args:
        config: the pipeline's configuration.
        history: the pipeline's runs.
        summary: the run.
        is_running: whether the run is still running.
    """
    all_nodes = history.nodes(summary.run_id)
    nodes = _succeeded(all_nodes)
    read = _TolerantReader()
    inputs = _identity(config, summary, nodes, is_running)
    inputs = dataclasses.replace(
        inputs,
        corpus=read("the statistics", lambda: _corpus(nodes), {}),
        quarantined=read("the quarantine", lambda: _quarantined(nodes), None),
        dropped=read("the dropped documents", lambda: _dropped(nodes), None),
        checks=read("the checks of the gates", lambda: _checks(history.folder, all_nodes), []),
        search=read("the trials", lambda: _search(nodes), None),
        seeds=read("the seeds", lambda: _seeds(nodes), None),
        training=read("the training log", lambda: _training(nodes), []),
        platforms=read("the platforms of training", lambda: _platforms(nodes), []),
    )
    evaluation = read("the evaluation", lambda: _evaluation(nodes), None)
    inputs = _with_evaluation(inputs, evaluation) if evaluation else inputs
    prompts = read("the held-out text", lambda: _prompts(nodes), Prompts())
    layers = config.model.backbone.num_layers
    no_answers: tuple[list[Prediction], WordVectors | None] = [], None
    answers = read("the model", lambda: _answers(nodes, layers, prompts), no_answers)
    return dataclasses.replace(
        inputs,
        history=_versions(history, summary.run_id, read),
        predictions=answers[0],
        word_vectors=answers[1],
        unreadable=read.unreadable,
    )


class _TolerantReader:
    """Reads the parts of a report, and keeps going where a part cannot be read.

    Attributes:
        unreadable: the parts that are gone or damaged, and why, in sentences.
    """

    def __init__(self) -> None:
        self.unreadable: list[str] = []

    def __call__(self, name: str, read: Callable[[], T], default: T) -> T:
        """What `read` returns, or `default` if it raises."""
        try:
            return read()
        except Exception as error:
            _log.info("%s cannot be read", name, exc_info=True)
            self.unreadable.append(
                f"Not shown because it cannot be read: {name}: {one_line(error)}"
            )
            return default


def _succeeded(nodes: Nodes) -> Nodes:
    return {name: node for name, node in nodes.items() if node.succeeded}


def _identity(
    config: PipelineConfig, summary: Summary, nodes: Nodes, is_running: bool
) -> ReportInputs:
    """Which run it is, what it was made from, and how it ended."""
    ingestion = nodes.get("TextExampleGen")
    provenance = provenance_of(nodes["Trainer"]) if "Trainer" in nodes else {}
    now = datetime.datetime.now().astimezone()
    return ReportInputs(
        name=config.name,
        recipe=config.recipe,
        family=config.model.family,
        span=ingestion.span_label if ingestion else None,
        fingerprint=ingestion.parameters["fingerprint"] if ingestion else "",
        code_version=provenance.get("commit") or provenance.get("code", ""),
        version=summary.version,
        run_id=summary.run_id,
        running_at=f"{now:%Y-%m-%d %H:%M:%S}" if is_running else "",
        blessed=summary.blessed,
        reasons=summary.reasons,
        notes=summary.notes,
        steps=[
            StepState(step.component, "running", None)
            if is_running and step.state == "interrupted"
            else StepState(step.component, step.state, step.seconds)
            for step in summary.steps
        ],
        metrics=config.model.objective.metrics(),
    )


def _with_evaluation(inputs: ReportInputs, evaluation: Evaluation) -> ReportInputs:
    """The inputs with the metrics of the largest slices, and their intervals."""
    by_name = {each.name: each for each in evaluation.slices}
    names, more_slices = largest_slices({name: each.examples for name, each in by_name.items()})
    slices = [by_name[name] for name in names]
    inputs = dataclasses.replace(
        inputs,
        evaluation={each.name: each.candidate for each in slices},
        last_blessed={each.name: each.baseline for each in slices if each.baseline},
        more_slices=more_slices,
    )
    judgement = evaluation.judgement
    if judgement is None:
        return inputs
    return dataclasses.replace(
        inputs,
        intervals=judgement.metrics,
        changes=judgement.changes,
        resampling_note=judgement.resampling_note(),
    )


def _folder(nodes: Nodes, component: str, output: str) -> pathlib.Path | None:
    """The folder of an output artifact, None if there is none."""
    artifact = nodes[component].output(output) if component in nodes else None
    return pathlib.Path(artifact.uri) if artifact else None


def _corpus(nodes: Nodes) -> Mapping[str, SplitStatistics]:
    folder = _folder(nodes, "StatisticsGen", "statistics")
    return corpus_statistics(str(folder)).splits if folder else {}


def _quarantined(nodes: Nodes) -> Mapping[str, int] | None:
    folder = _folder(nodes, "TextExampleGen", "examples")
    return read_quarantined(folder / INGESTION_FILE) if folder else None


def _dropped(nodes: Nodes) -> list[Dropped] | None:
    folder = _folder(nodes, "TextCleaner", "cleaned")
    return read_dropped(folder / CLEANING_FILE) if folder else None


def _checks(pipeline_folder: pathlib.Path, nodes: Nodes) -> list[tuple[str, Check]]:
    """The checks of each gate; those of a gate that refused are outside of its artifact."""
    checks = []
    for gate in ("DataGate", "ExampleGate"):
        if gate not in nodes:
            continue
        if nodes[gate].succeeded:
            folder = _folder(nodes, gate, "approval")
            path = folder / CHECKS_FILE if folder else None
        else:
            span = nodes["TextExampleGen"].parameters["span"]
            path = evidence_file(pipeline_folder / QUARANTINE, gate, span)
        if path and path.exists():
            checks += [(gate, check) for check in read_checks(path)]
    return checks


def _search(nodes: Nodes) -> Search | None:
    folder = _folder(nodes, "Tuner", "tuner_results")
    return Search.read(folder) if folder and (folder / TRIALS_FILE).exists() else None


def _seeds(nodes: Nodes) -> SeedRuns | None:
    folder = _folder(nodes, "Trainer", "model_run")
    return SeedRuns.read(folder) if folder and (folder / SEEDS_FILE).exists() else None


def _training(nodes: Nodes) -> list[TrainingPoint]:
    folder = _folder(nodes, "Trainer", "model_run")
    return read_training_log(folder / TRAINING_LOG) if folder else []


def _platforms(nodes: Nodes) -> list[tuple[int, str]]:
    """What training ran on, each with its first step."""
    folder = _folder(nodes, "Trainer", "model_run")
    platforms = read_platforms(folder / PLATFORM_FILE) if folder else []
    return [(platform.first_step, str(platform)) for platform in platforms]


def _evaluation(nodes: Nodes) -> Evaluation | None:
    folder = _folder(nodes, "Evaluator", "evaluation")
    return read_evaluation(str(folder)) if folder else None


def _overall_metrics(uri: str) -> Mapping[str, float]:
    return read_evaluation(uri).overall.candidate


def _prompts(nodes: Nodes) -> Prompts:
    documents = _folder(nodes, "TextCleaner", "cleaned")
    return held_out_prompts(documents) if documents else Prompts()


def _versions(history: RunHistory, last: str, read: _TolerantReader) -> list[Version]:
    """The evaluations up to a run, oldest first; a cached evaluation counts for its first run."""
    versions: dict[int, Version] = {}
    for run_id in history.run_ids():
        nodes = _succeeded(history.nodes(run_id))
        artifact = nodes["Evaluator"].output("evaluation") if "Evaluator" in nodes else None
        if artifact is not None and artifact.id not in versions:
            no_metrics: Mapping[str, float] = {}
            read_metrics = functools.partial(_overall_metrics, artifact.uri)
            metrics = read(f"the evaluation of run {run_id}", read_metrics, no_metrics)
            span = nodes["TextExampleGen"].span_label
            label = f"span {span}, run {len(versions) + 1}"
            pushed = nodes["Pusher"].output("pushed_model") if "Pusher" in nodes else None
            label += ", rolled back" if pushed and pushed.rolled_back else ""
            versions[artifact.id] = Version(label, metrics, blessing_of(nodes))
        if run_id == last:
            break
    return list(versions.values())


def _answers(
    nodes: Nodes, layers: int, prompts: Prompts
) -> tuple[list[Prediction], WordVectors | None]:
    """The exported model's answers about held-out text, and its vectors of an ambiguous word.

    Args:
        nodes: the steps of the run.
        layers: number of layers of the model.
        prompts: what to ask the model.
    """
    folder = _folder(nodes, "Trainer", "model")
    if folder is None:
        return [], None
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    model = tf.saved_model.load(str(folder / SAVED_MODEL_FOLDER))
    signatures = model.signatures
    predictions = example_predictions(
        prompts,
        fill_mask=_callable(signatures, "fill_mask"),
        next_sentence=_callable(signatures, "next_sentence"),
        generate=_callable(signatures, "generate"),
    )
    try:
        return predictions, word_vectors(_callable(signatures, "hidden_states"), layers)
    except PolysemeError:  # the vocabulary lacks the word, perhaps of another language
        return predictions, None


def _callable(signatures: Any, name: str) -> Any:
    """A function of lists that calls a signature and returns arrays; None without the signature."""
    if name not in signatures:
        return None
    import tensorflow as tf

    signature = signatures[name]
    inputs = signature.structured_input_signature[1].values()
    dtypes = {spec.name: spec.dtype for spec in inputs}

    def call(**values: list[Any]) -> dict[str, Any]:
        tensors = {name: tf.constant(value, dtypes[name]) for name, value in values.items()}
        return {name: output.numpy() for name, output in signature(**tensors).items()}

    return call
