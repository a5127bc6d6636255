"""The result of each step in a few words, for the summary of a run, read from its artifacts."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from components.layout import (
    CHECKS_FILE,
    CLEANING_FILE,
    EXAMPLES_FILE,
    INGESTION_FILE,
    OLDER,
    SERVING_CHECK_FILE,
    SPLITS,
    TRAIN,
)
from components.lineage.properties import SPANS
from components.lineage.span_label import span_label
from components.search_space import describe_values
from components.training.seed_results import LOSS, SEEDS_FILE, SeedRuns
from components.tuning.trials import Search
from models.training.layout import TRAINING_LOG
from pipeline.metadata.queries import ArtifactRecord, NodeRecord
from pipeline.terminal.output import counted

CONSUMED_BY: Mapping[str, tuple[str, str]] = {
    "LastApprovedStatistics": ("DataGate", "previous_statistics"),
    "TrainedEarlier": ("TextCleaner", "earlier"),
    "LastApprovedExamples": ("ExampleGate", "previous"),
    "LastBlessedModel": ("Evaluator", "baseline_model"),
    "TrainingStart": ("VocabularyTrainer", "base_model"),
}
"""Resolver → a step that consumes what it found, and the name of that step's input."""


def result_of(node: NodeRecord) -> str:
    """The result of a step that succeeded; empty for other steps and where its files are gone."""
    describe = _DESCRIBE.get(node.component)
    if describe is None:
        return ""
    try:
        return describe(node)
    except Exception:  # an older release wrote the files, or they are gone or damaged
        return ""


def found_by_resolver(resolver: str, nodes: Mapping[str, NodeRecord]) -> str:
    """What a resolver found.

    ML Metadata records no output of a resolver, so this reads the input of the step that consumed
    it; empty if that step did not start.
    """
    consumer, name = CONSUMED_BY[resolver]
    if consumer not in nodes:
        return ""
    artifact = nodes[consumer].input(name)
    if artifact is None:
        return "new weights" if resolver == "TrainingStart" else "none yet"
    if resolver in ("LastBlessedModel", "TrainingStart"):
        spans = json.loads(artifact.properties.get(SPANS, "[]"))
        labels = ", ".join(span_label(span) for span in spans)
        return f"model {artifact.id}" + (f", trained on span {labels}" if spans else "")
    return f"from span {', '.join(each.span_label for each in nodes[consumer].inputs[name])}"


def _ingestion(node: NodeRecord) -> str:
    counts = _load(node, "examples", INGESTION_FILE)
    empty = counts.get("empty", 0)
    unreadable = {item["file"] for item in counts.get("unreadable", ())}
    return _by_split(counts["splits"], "documents", "documents") + _nonzero(
        {
            "quarantined": counts["quarantined"] - empty,
            "empty": empty,
            "unreadable files": len(unreadable),
        }
    )


def _data_gate(node: NodeRecord) -> str:
    return f"{counted(len(_load(node, 'approval', CHECKS_FILE)), 'check')} passed"


def _cleaning(node: NodeRecord) -> str:
    splits = _load(node, "cleaned", CLEANING_FILE)["splits"]
    quarantined = sum(split.get("quarantined", 0) for split in splits.values())
    dropped = sum(sum(split["dropped"].values()) for split in splits.values()) - quarantined
    return _by_split(splits, "kept", "documents") + _nonzero(
        {"quarantined": quarantined, "dropped": dropped}
    )


def _vocabulary(node: NodeRecord) -> str:
    return f"{_artifact(node, 'vocabulary').properties['size']:,} entries"


def _examples(node: NodeRecord) -> str:
    counts = _load(node, "examples", EXAMPLES_FILE)
    older = counts.get(OLDER, {}).get("examples", 0)
    padding = counts["splits"][TRAIN]["padding_share"]
    return (
        _by_split(counts["splits"], "examples", "examples")
        + _nonzero({"from earlier spans": older})
        + f", {padding:.0%} padding"
    )


def _example_gate(node: NodeRecord) -> str:
    coverage = _artifact(node, "approval").properties
    return (
        f"{coverage['unknown_share']:.1%} unknown tokens, "
        f"{coverage['tokens_per_word']:.2f} tokens per word"
    )


def _tuning(node: NodeRecord) -> str:
    search = Search.read(_artifact(node, "tuner_results").uri)
    failed = sum(trial.held_out_loss is None for trial in search.trials)
    text = counted(len(search.trials), "trial") + _nonzero({"failed": failed})
    if search.best is None:
        return text
    return f"{text}; best loss {search.best.loss:.3f} with {describe_values(search.best.values)}"


def _training(node: NodeRecord) -> str:
    folder = pathlib.Path(_artifact(node, "model_run").uri)
    lines = (folder / TRAINING_LOG).read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    text = f"{last['step']:,} steps, loss {first['loss']:.2f} → {last['loss']:.2f}"
    if not (folder / SEEDS_FILE).exists():
        return text
    seeds = SeedRuns.read(folder)
    mean, deviation = seeds.spread[LOSS]
    return (
        f"{text}; seed {seeds.best.seed} is the best of {len(seeds.runs)},"
        f" eval loss {mean:.3f} ± {deviation:.3f}"
    )


def _evaluation(node: NodeRecord) -> str:
    """The accuracies and perplexities with their intervals."""
    from components.evaluation.results import read_evaluation  # imports TFMA, which is slow

    evaluation = read_evaluation(_artifact(node, "evaluation").uri)
    metrics = evaluation.overall.candidate
    intervals = evaluation.judgement.metrics if evaluation.judgement else {}

    def text_of(name: str, digits: int) -> str:
        text = f"{name.replace('_', ' ')} {metrics[name]:.{digits}f}"
        if name not in intervals:
            return text
        interval = intervals[name]
        return f"{text} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"

    accuracies = [name for name in metrics if name.endswith("accuracy") and "majority" not in name]
    perplexities = [name for name in ("perplexity", "bigram_perplexity") if name in metrics]
    return ", ".join(
        [text_of(name, 3) for name in sorted(accuracies)]
        + [text_of(name, 1) for name in perplexities]
    )


def _serving_check(node: NodeRecord) -> str:
    signatures = _load(node, "blessing", SERVING_CHECK_FILE)["seconds"]
    return f"{counted(len(signatures), 'signature')} answered"


def _push(node: NodeRecord) -> str:
    artifact = node.output("pushed_model")
    if artifact is None or artifact.properties.get("pushed") != 1:
        return "not pushed"
    version = f"version {artifact.properties['pushed_version']}"
    return f"{version}, rolled back" if artifact.rolled_back else version


def _artifact(node: NodeRecord, output: str) -> ArtifactRecord:
    artifact = node.output(output)
    if artifact is None:
        raise KeyError(output)
    return artifact


def _load(node: NodeRecord, output: str, name: str) -> Any:
    """The content of a JSON file in an output artifact."""
    file = pathlib.Path(_artifact(node, output).uri) / name
    return json.loads(file.read_text(encoding="utf-8"))


def _by_split(splits: Mapping[str, Mapping[str, Any]], field: str, noun: str) -> str:
    """A count per split, as `204 train + 23 test documents`; splits without any are left out."""
    counts = {name: splits.get(name, {}).get(field, 0) for name in SPLITS}
    parts = [f"{count:,} {name}" for name, count in counts.items() if count or name == TRAIN]
    return f"{' + '.join(parts)} {noun}"


def _nonzero(counts: Mapping[str, int]) -> str:
    """The counts that are not 0, each as `, 7 name`."""
    return "".join(f", {count:,} {name}" for name, count in counts.items() if count)


_DESCRIBE: Mapping[str, Callable[[NodeRecord], str]] = {
    "TextExampleGen": _ingestion,
    "DataGate": _data_gate,
    "TextCleaner": _cleaning,
    "VocabularyTrainer": _vocabulary,
    "ExampleBuilder": _examples,
    "ExampleGate": _example_gate,
    "Tuner": _tuning,
    "Trainer": _training,
    "Evaluator": _evaluation,
    "ServingCheck": _serving_check,
    "Pusher": _push,
}
