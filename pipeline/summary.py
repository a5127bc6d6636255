"""How a run ended: each component's state and figures, blessed or not and why, what was pushed."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
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
from components.lineage.properties import REASON, ROLLED_BACK, SPANS
from components.lineage.span_label import span_label
from components.search_space import describe_values
from components.training.seed_results import LOSS, SEEDS_FILE, SeedRuns
from components.tuning.trials import Search
from models.training.layout import TRAINING_LOG
from pipeline.metadata.queries import NodeRecord, RunHistory
from pipeline.steps import WHERE_POSSIBLE, Until, steps_until


@dataclasses.dataclass(frozen=True)
class Step:
    """A row of the table: `state` is `done`, `cached`, `failed`, `interrupted` or `not run`."""

    component: str
    state: str
    seconds: float | None
    figures: str


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        run_id: the run.
        steps: every component of the pipeline, those that never started included; of a partial run
            those that it was to run.
        blessed: whether the evaluation blessed the model; None if the run did not come that far.
        reasons: why it was not blessed or not pushed, in sentences.
        notes: bounds that could not be judged and were left out, in sentences.
        version: the pushed version, None if nothing was pushed.
        destination: the pushed version's folder.
        rolled_back: the version that was pushed and taken out of service since, if that is so.
        until: where a partial run ends; None of a run of the whole pipeline.
        metrics: of the evaluation, on the whole split "test"; empty if there was none.
    """

    run_id: str
    steps: Sequence[Step]
    blessed: bool | None
    reasons: Sequence[str]
    version: str | None
    destination: str | None
    notes: Sequence[str] = ()
    rolled_back: str | None = None
    until: Until | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every component ended well."""
        return all(step.state in ("done", "cached") for step in self.steps)


def summarize(history: RunHistory, run_id: str, until: Until | None = None) -> Summary:
    """Reads a run's end from ML Metadata and from its artifacts.

    Args:
        history: the pipeline's.
        run_id: the run.
        until: where it was to end; None: after the last step.
    """
    nodes = history.nodes(run_id)
    steps = []
    wanted = steps_until(until)
    for component in (name for name in wanted if name in nodes or name not in WHERE_POSSIBLE):
        node = nodes.get(component)
        if node is None:
            steps.append(Step(component, "not run", None, ""))
        else:
            figures = _found(component, nodes) or (key_figures(node) if node.succeeded else "")
            steps.append(Step(component, _state(node), node.seconds, figures))
    blessed = blessing_of(nodes)
    reasons, notes, metrics = ((), (), {}) if blessed is None else _judged(nodes["Evaluator"])
    pushed = _pushed(nodes)
    return Summary(
        run_id=run_id,
        steps=steps,
        blessed=blessed,
        reasons=reasons if blessed is False else _not_pushed(nodes),
        notes=notes,
        version=pushed.get("pushed_version"),
        destination=pushed.get("pushed_destination"),
        rolled_back=_rolled_back(nodes),
        until=until,
        metrics=metrics,
    )


def blessing_of(nodes: Mapping[str, NodeRecord]) -> bool | None:
    """Whether a run's evaluation blessed its model, None if there was no evaluation."""
    evaluator = nodes.get("Evaluator")
    if evaluator is None or not evaluator.succeeded:
        return None
    blessing = evaluator.output("blessing")
    return blessing is not None and blessing.properties.get("blessed") == 1


def key_figures(node: NodeRecord) -> str:
    """A component's key figures in a few words; empty where its files are gone."""
    describe = _DESCRIBE.get(node.component)
    if describe is None:
        return ""
    try:
        return describe(node)
    except Exception:  # a run of old code, or artifacts that are gone or damaged since
        return ""


def _state(node: NodeRecord) -> str:
    # ML Metadata calls every resolver's execution cached; it looks things up anew each time.
    return "done" if node.state == "cached" and node.component in _READERS else node.state


def _pushed(nodes: Mapping[str, NodeRecord]) -> Mapping[str, Any]:
    found = _properties(nodes)
    return found if found.get("pushed") == 1 and not found.get(ROLLED_BACK) else {}


def _rolled_back(nodes: Mapping[str, NodeRecord]) -> str | None:
    found = _properties(nodes)
    return found["pushed_version"] if found.get(ROLLED_BACK) else None


def _properties(nodes: Mapping[str, NodeRecord]) -> Mapping[str, Any]:
    """Those of what Pusher wrote; empty if the run did not come that far."""
    pusher = nodes.get("Pusher")
    artifact = pusher.output("pushed_model") if pusher and pusher.succeeded else None
    return artifact.properties if artifact else {}


def _not_pushed(nodes: Mapping[str, NodeRecord]) -> list[str]:
    """Why a blessed model was not pushed, if Pusher says so."""
    version, reason = _rolled_back(nodes), _properties(nodes).get(REASON)
    told = f"version {version} was rolled back" if version else reason
    return [told] if told else []


def _judged(
    evaluator: NodeRecord,
) -> tuple[Sequence[str], Sequence[str], Mapping[str, float]]:
    """Why the model is not blessed, what could not be judged, and the model's metrics."""
    evaluation = evaluator.output("evaluation")
    if evaluation is None:
        return (), (), {}
    from components.evaluation.results import read_evaluation  # TFMA

    try:
        found = read_evaluation(evaluation.uri)
    except Exception:  # whatever TFMA says of an artifact that is gone or damaged since
        return (), (), {}
    notes = found.judgement.notes if found.judgement else ()
    return found.reasons, notes, found.overall.candidate


def _file(node: NodeRecord, output: str, name: str) -> pathlib.Path:
    artifact = node.output(output)
    if artifact is None:
        raise KeyError(output)
    return pathlib.Path(artifact.uri) / name


def _load(node: NodeRecord, output: str, name: str) -> Any:
    return json.loads(_file(node, output, name).read_text(encoding="utf-8"))


def _splits(splits: Mapping[str, Mapping[str, Any]], field: str) -> str:
    """A number of each split that has any, as `204 + 23`: those to train on come first."""
    counts = {name: splits.get(name, {}).get(field, 0) for name in SPLITS}
    told = [count for name, count in counts.items() if count or name == TRAIN]
    return " + ".join(f"{count:,}" for count in told)


def _documents(node: NodeRecord) -> str:
    found = _load(node, "examples", INGESTION_FILE)
    text = f"{_splits(found['splits'], 'documents')} documents"
    empty = found.get("empty", 0)
    for count, told in ((found["quarantined"] - empty, "quarantined"), (empty, "empty")):
        text += f", {count:,} {told}" if count else ""
    unreadable = len({item["file"] for item in found.get("unreadable", ())})
    return text + (f", {unreadable:,} unreadable files" if unreadable else "")


def _checks(node: NodeRecord) -> str:
    return f"{len(_load(node, 'approval', CHECKS_FILE))} checks passed"


def _cleaned(node: NodeRecord) -> str:
    splits = _load(node, "cleaned", CLEANING_FILE)["splits"]
    quarantined = sum(split.get("quarantined", 0) for split in splits.values())
    dropped = sum(sum(split["dropped"].values()) for split in splits.values()) - quarantined
    text = f"{_splits(splits, 'kept')} documents"
    for count, told in ((quarantined, "quarantined"), (dropped, "dropped")):
        text += f", {count:,} {told}" if count else ""
    return text


def _vocabulary(node: NodeRecord) -> str:
    artifact = node.output("vocabulary")
    return f"{artifact.properties['size']:,} entries" if artifact else ""


def _examples(node: NodeRecord) -> str:
    told = _load(node, "examples", EXAMPLES_FILE)
    splits, older = told["splits"], told.get(OLDER, {}).get("examples", 0)
    return (
        f"{_splits(splits, 'examples')} examples, "
        + (f"{older:,} of older spans, " if older else "")
        + f"{splits[TRAIN]['padding_share']:.0%} padding"
    )


def _fit(node: NodeRecord) -> str:
    artifact = node.output("approval")
    if artifact is None:
        return ""
    fit = artifact.properties
    return f"{fit['unknown_share']:.1%} unknown, {fit['tokens_per_word']:.2f} tokens a word"


def _tuned(node: NodeRecord) -> str:
    artifact = node.output("tuner_results")
    if artifact is None:
        return ""
    found = Search.read(artifact.uri)
    failed = sum(trial.held_out_loss is None for trial in found.trials)
    told = f"{len(found.trials)} trials" + (f", {failed} failed" if failed else "")
    if found.best is None:
        return told
    return f"{told}, loss {found.best.loss:.3f} with {describe_values(found.best.values)}"


def _training(node: NodeRecord) -> str:
    lines = _file(node, "model_run", TRAINING_LOG).read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    told = f"{last['step']:,} steps, loss {first['loss']:.2f} → {last['loss']:.2f}"
    seeds = _file(node, "model_run", SEEDS_FILE)
    if not seeds.exists():
        return told
    found = SeedRuns.read(seeds.parent)
    mean, deviation = found.spread[LOSS]
    return (
        f"{told}; seed {found.best.seed} is the best of {len(found.runs)},"
        f" eval loss {mean:.3f} ± {deviation:.3f}"
    )


def _evaluation(node: NodeRecord) -> str:
    artifact = node.output("evaluation")
    if artifact is None:
        return ""
    from components.evaluation.results import read_evaluation  # TFMA

    evaluation = read_evaluation(artifact.uri)
    figures = evaluation.overall.candidate
    intervals = evaluation.judgement.metrics if evaluation.judgement else {}

    def told(name: str, digits: int) -> str:
        text = f"{name.replace('_', ' ')} {figures[name]:.{digits}f}"
        if name not in intervals:
            return text
        found = intervals[name]
        return f"{text} [{found.low:.{digits}f}, {found.high:.{digits}f}]"

    accuracies = [name for name in figures if name.endswith("accuracy") and "majority" not in name]
    perplexities = [name for name in ("perplexity", "bigram_perplexity") if name in figures]
    return ", ".join(
        [told(name, 3) for name in sorted(accuracies)] + [told(name, 1) for name in perplexities]
    )


def _served(node: NodeRecord) -> str:
    seconds = _load(node, "blessing", SERVING_CHECK_FILE)["seconds"]
    return f"{len(seconds)} signatures answered"


def _push(node: NodeRecord) -> str:
    artifact = node.output("pushed_model")
    if artifact is None or artifact.properties.get("pushed") != 1:
        return "not pushed"
    told = f"version {artifact.properties['pushed_version']}"
    return f"{told}, rolled back" if artifact.rolled_back else told


def _found(resolver: str, nodes: Mapping[str, NodeRecord]) -> str:
    """What a resolver found, read off the step that got it: ML Metadata keeps no output of it."""
    reader, name = _READERS.get(resolver, ("", ""))
    if reader not in nodes:
        return ""
    artifact = nodes[reader].input(name)
    if artifact is None:
        return "new weights" if resolver == "TrainingStart" else "none yet"
    if resolver in ("LastBlessedModel", "TrainingStart"):
        spans = json.loads(artifact.properties.get(SPANS, "[]"))
        labels = ", ".join(span_label(span) for span in spans)
        return f"model {artifact.id}" + (f", of span {labels}" if spans else "")
    return f"of span {', '.join(each.span_label for each in nodes[reader].inputs[name])}"


_READERS: Mapping[str, tuple[str, str]] = {
    "LastApprovedStatistics": ("DataGate", "previous_statistics"),
    "TrainedEarlier": ("TextCleaner", "earlier"),
    "LastApprovedExamples": ("ExampleGate", "previous"),
    "LastBlessedModel": ("Evaluator", "baseline_model"),
    "TrainingStart": ("VocabularyTrainer", "base_model"),
}

_DESCRIBE: Mapping[str, Callable[[NodeRecord], str]] = {
    "TextExampleGen": _documents,
    "DataGate": _checks,
    "TextCleaner": _cleaned,
    "VocabularyTrainer": _vocabulary,
    "ExampleBuilder": _examples,
    "ExampleGate": _fit,
    "Tuner": _tuned,
    "Trainer": _training,
    "Evaluator": _evaluation,
    "ServingCheck": _served,
    "Pusher": _push,
}
