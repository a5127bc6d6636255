"""Gathers what a report shows out of ML Metadata and the artifacts of a run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from components.corpus_statistics import SplitStatistics, corpus_statistics
from components.evaluator import Evaluation, read_evaluation
from components.gate_checks import CHECKS_FILE, Check, evidence_file, read_checks
from components.layout import CLEANING_FILE
from components.report_inputs import (
    Dropped,
    Prediction,
    ReportInputs,
    StepState,
    TrainingPoint,
    Version,
    example_predictions,
    read_dropped,
    read_quarantined,
    read_training_log,
)
from components.reporter import write_comparison, write_report
from components.seeds import SEEDS_FILE, SeedRuns
from components.trials import TRIALS_FILE, Search
from components.word_senses import WordVectors, bank_vectors
from models.errors import ConfigError, PolysemeError
from models.platform import PLATFORM_FILE, read_platforms
from models.registry import FAMILIES
from pipeline.config import PipelineConfig
from pipeline.lineage import provenance_of
from pipeline.metadata import NodeRecord, RunHistory
from pipeline.summary import Summary, blessing_of, summarize

REPORT = "report.html"
COMPARISON = "comparison.html"


def report_run(config: PipelineConfig, history: RunHistory, summary: Summary) -> pathlib.Path:
    """Writes `report.html` into the pipeline's folder, about one run and those before it."""
    path = config.folder / REPORT
    write_report(gather(config, history, summary), path)
    return path


def compare_runs(folders: Sequence[pathlib.Path]) -> pathlib.Path:
    """Writes `comparison.html` beside pipelines' folders, about the last run of each.

    Raises:
        ConfigError: no run has been in a folder.
    """
    models = []
    for folder in folders:
        config, history, summary = last_run(folder)
        models.append(gather(config, history, summary))
    path = folders[0].parent / COMPARISON
    write_comparison(models, path)
    return path


def last_run(folder: pathlib.Path) -> tuple[PipelineConfig, RunHistory, Summary]:
    """The last run of a pipeline's folder.

    Raises:
        ConfigError: no run has been there.
    """
    history = RunHistory(folder)
    run_ids = history.run_ids()
    if not run_ids:
        raise ConfigError("no run has been here", where=str(folder))
    config = PipelineConfig.from_json((folder / "config.json").read_bytes())
    return config, history, summarize(history, run_ids[-1])


def gather(config: PipelineConfig, history: RunHistory, summary: Summary) -> ReportInputs:
    """Everything the report shows; what a run did not come to is left out."""
    nodes = {name: node for name, node in history.nodes(summary.run_id).items() if node.succeeded}
    ingestion = nodes.get("TextExampleGen")
    provenance = _provenance(nodes)
    evaluation = _evaluation(nodes)
    slices = evaluation.slices if evaluation else ()
    judgement = evaluation.judgement if evaluation else None
    predictions, bank = _answers(nodes, config.model.backbone.layers)
    return ReportInputs(
        name=config.name,
        recipe=config.recipe,
        family=config.model.family,
        span=ingestion.span_label if ingestion else None,
        fingerprint=ingestion.parameters["fingerprint"] if ingestion else "",
        code_version=provenance.get("commit") or provenance.get("code", ""),
        version=summary.version,
        blessed=summary.blessed,
        reasons=summary.reasons,
        notes=summary.notes,
        steps=[StepState(step.component, step.state, step.seconds) for step in summary.steps],
        corpus=_corpus(nodes),
        quarantined=_quarantined(nodes),
        dropped=_dropped(nodes),
        checks=_checks(config, history.nodes(summary.run_id)),
        search=_search(nodes),
        seeds=_seeds(nodes),
        training=_training(nodes),
        computed_on=_computed_on(nodes),
        metrics=FAMILIES[config.model.family].metrics(config.model.objective),
        evaluation={figures.name: figures.candidate for figures in slices},
        previous={figures.name: figures.baseline for figures in slices if figures.baseline},
        intervals=judgement.metrics if judgement else {},
        changes=judgement.changes if judgement else {},
        resampled=judgement.resampled() if judgement else "",
        history=_history(history, summary.run_id),
        predictions=predictions,
        bank=bank,
    )


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
    return read_quarantined(folder / "ingestion.json") if folder else {}


def _dropped(nodes: Mapping[str, NodeRecord]) -> list[Dropped]:
    folder = _uri(nodes, "TextCleaner", "cleaned")
    return read_dropped(folder / CLEANING_FILE) if folder else []


def _checks(config: PipelineConfig, nodes: Mapping[str, NodeRecord]) -> list[tuple[str, Check]]:
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
            path = evidence_file(config.folder / "quarantine", gate, span)
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
    return read_training_log(folder / "training.jsonl") if folder else []


def _computed_on(nodes: Mapping[str, NodeRecord]) -> list[tuple[int, str]]:
    folder = _uri(nodes, "Trainer", "model_run")
    platforms = read_platforms(folder / PLATFORM_FILE) if folder else []
    return [(platform.first_step, str(platform)) for platform in platforms]


def _evaluation(nodes: Mapping[str, NodeRecord]) -> Evaluation | None:
    folder = _uri(nodes, "Evaluator", "evaluation")
    return read_evaluation(str(folder)) if folder else None


def _history(history: RunHistory, last: str) -> list[Version]:
    """The evaluations up to a run, oldest first; a cached one is the run's that computed it."""
    versions: dict[int, Version] = {}
    for run_id in history.run_ids():
        nodes = {name: node for name, node in history.nodes(run_id).items() if node.succeeded}
        artifact = nodes["Evaluator"].output("evaluation") if "Evaluator" in nodes else None
        if artifact is not None and artifact.id not in versions:
            figures = read_evaluation(artifact.uri).overall.candidate
            span = nodes["TextExampleGen"].span_label
            label = f"span {span}, run {len(versions) + 1}"
            pushed = nodes["Pusher"].output("pushed_model") if "Pusher" in nodes else None
            label += ", rolled back" if pushed and pushed.rolled_back else ""
            versions[artifact.id] = Version(label, figures, blessing_of(nodes))
        if run_id == last:
            break
    return list(versions.values())


def _answers(
    nodes: Mapping[str, NodeRecord], layers: int
) -> tuple[list[Prediction], WordVectors | None]:
    """The exported model's answers to example prompts, and its vectors of an ambiguous word.

    Args:
        nodes: the run's nodes.
        layers: layers of the model.
    """
    folder = _uri(nodes, "Trainer", "model")
    if folder is None:
        return [], None
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokenizer's ops

    model = tf.saved_model.load(str(folder / "Format-Serving"))

    def ask(name: str) -> Any:
        if name not in model.signatures:
            return None
        signature = model.signatures[name]

        kinds = {spec.name: spec.dtype for spec in signature.structured_input_signature[1].values()}

        def call(**values: list[Any]) -> dict[str, Any]:
            given = {key: tf.constant(value, kinds[key]) for key, value in values.items()}
            return {key: value.numpy() for key, value in signature(**given).items()}

        return call

    predictions = example_predictions(ask("fill_mask"), ask("next_sentence"), ask("generate"))
    try:
        return predictions, bank_vectors(ask("hidden_states"), layers)
    except PolysemeError:  # a vocabulary, of another language perhaps, that cannot read the word
        return predictions, None
