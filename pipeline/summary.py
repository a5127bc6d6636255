"""The summary of a run: the state of each step, the verdict on its model, and what was pushed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from components.lineage.properties import REASON, ROLLED_BACK
from pipeline.metadata.queries import SUCCEEDED, NodeRecord, RunHistory
from pipeline.step_results import CONSUMED_BY, found_by_resolver, result_of
from pipeline.steps import OPTIONAL_COMPONENTS, Until, steps_until


@dataclasses.dataclass(frozen=True)
class Step:
    """How one step of a run ended.

    Attributes:
        component: name of the step.
        state: `done`, `cached`, `failed`, `interrupted` or `not run`.
        seconds: how long it took; None if it was not run.
        result: its result in a few words, see pipeline/step_results.py.
    """

    component: str
    state: str
    seconds: float | None
    result: str


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        run_id: the run.
        steps: all steps that the run was meant to execute, including those that never started.
        blessed: whether the evaluation blessed the model; None if there was no evaluation.
        reasons: why the model was not blessed or not pushed, in sentences.
        version: the pushed version, None if nothing was pushed.
        destination: the pushed version's folder.
        notes: bounds that could not be checked, in sentences.
        rolled_back: the version that the run pushed, if it was taken out of service since.
        until: where a partial run ends; None for a complete run.
        metrics: of the evaluation on the whole split "test"; empty if there was none.
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
        """Whether every step succeeded."""
        return all(step.state in SUCCEEDED for step in self.steps)


def summarize(history: RunHistory, run_id: str, until: Until | None = None) -> Summary:
    """Reads how a run ended from ML Metadata and from its artifacts.

    Args:
        history: the pipeline's runs.
        run_id: the run.
        until: where a partial run ends; None for a complete run.
    """
    nodes = history.nodes(run_id)
    blessed = blessing_of(nodes)
    reasons, notes, metrics = ((), (), {}) if blessed is None else _judgement(nodes["Evaluator"])
    pushed = _pushed_properties(nodes)
    rolled_back = pushed["pushed_version"] if pushed.get(ROLLED_BACK) else None
    served = pushed if pushed.get("pushed") == 1 and not rolled_back else {}
    return Summary(
        run_id=run_id,
        steps=[
            _step(component, nodes)
            for component in steps_until(until)
            if component in nodes or component not in OPTIONAL_COMPONENTS
        ],
        blessed=blessed,
        reasons=reasons if blessed is False else _why_not_pushed(pushed, rolled_back),
        notes=notes,
        version=served.get("pushed_version"),
        destination=served.get("pushed_destination"),
        rolled_back=rolled_back,
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


def _step(component: str, nodes: Mapping[str, NodeRecord]) -> Step:
    node = nodes.get(component)
    if node is None:
        return Step(component, "not run", None, "")
    if component in CONSUMED_BY:  # a resolver
        # ML Metadata records every execution of a resolver as cached; it looks things up each time.
        state = "done" if node.state == "cached" else node.state
        return Step(component, state, node.seconds, found_by_resolver(component, nodes))
    return Step(component, node.state, node.seconds, result_of(node) if node.succeeded else "")


def _pushed_properties(nodes: Mapping[str, NodeRecord]) -> Mapping[str, Any]:
    """The properties of Pusher's artifact; empty if Pusher did not run."""
    pusher = nodes.get("Pusher")
    artifact = pusher.output("pushed_model") if pusher and pusher.succeeded else None
    return artifact.properties if artifact else {}


def _why_not_pushed(pushed: Mapping[str, Any], rolled_back: str | None) -> list[str]:
    """Why a blessed model was not pushed, or is not served."""
    reason = f"version {rolled_back} was rolled back" if rolled_back else pushed.get(REASON)
    return [reason] if reason else []


def _judgement(
    evaluator: NodeRecord,
) -> tuple[Sequence[str], Sequence[str], Mapping[str, float]]:
    """Why the model is not blessed, the bounds that could not be checked, and the metrics."""
    artifact = evaluator.output("evaluation")
    if artifact is None:
        return (), (), {}
    from components.evaluation.results import read_evaluation  # imports TFMA, which is slow

    try:
        evaluation = read_evaluation(artifact.uri)
    except Exception:  # TFMA raises many kinds for files that are gone or damaged
        return (), (), {}
    notes = evaluation.judgement.notes if evaluation.judgement else ()
    return evaluation.reasons, notes, evaluation.overall.candidate
