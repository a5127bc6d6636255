"""Resolvers of the artifacts of earlier runs that a run builds on; a rerun finds the same ones.

TFX's own strategies take the artifact with the highest id. After a run, its own artifacts have the
highest ids: a rerun would compare the span with itself and start from its own model, and no step
would be a cache hit. These resolvers use spans and fingerprints instead, which they read from ML
Metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ml_metadata import MetadataStore
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

from components.lineage.properties import covers
from components.lineage.pushed_models import (
    Artifacts,
    first_run_limit,
    models_before,
    newest_pushed,
)
from models.errors import ConfigError

_log = logging.getLogger("polyseme.evaluator")


class LastApprovedStatistics(ResolverStrategy):
    """Finds the statistics of the last earlier span whose documents passed DataGate.

    Inputs: `statistics` (ExampleStatistics) and `approval` (DataApproval). Statistics of refused
    text don't count, else bad text would be the reference for the next span. Empty in a first run.
    """

    def __init__(self, span: int) -> None:
        self._span = span

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns the last statistics and their approval, or empty lists."""
        approvals = {approval.statistics_id: approval for approval in input_dict["approval"]}
        candidates = [
            statistics
            for statistics in input_dict["statistics"]
            if statistics.span < self._span and statistics.id in approvals
        ]
        if not candidates:
            return {"statistics": [], "approval": []}
        last = max(candidates, key=lambda statistics: (statistics.span, statistics.id))
        return {"statistics": [last], "approval": [approvals[last.id]]}


class LastApprovedExamples(ResolverStrategy):
    """Finds the approval of the last earlier span whose examples passed ExampleGate.

    Input: `approval` (ExamplesApproval). Empty in a first run.
    """

    def __init__(self, span: int) -> None:
        self._span = span

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns the last approval, or an empty list."""
        earlier = [each for each in input_dict["approval"] if each.span < self._span]
        if not earlier:
            return {"approval": []}
        return {"approval": [max(earlier, key=lambda approval: (approval.span, approval.id))]}


class TrainedEarlier(ResolverStrategy):
    """Finds the texts that runs on other spans trained on, which must not be held out.

    Inputs: `trained` (TrainedTexts, each with the texts before it) and `model` (Model). The result
    is the newest TrainedTexts of each other span, without those whose keys are contained in another
    one; usually one is left. Once a pushed model was trained on this run's span, only texts that
    are older than the span's first TrainedTexts count, so that a rerun is evaluated on the same
    text. All texts count if training starts from a model that may have seen more spans. Empty in a
    first run.
    """

    def __init__(self, span: int, start: str) -> None:
        self._span = span
        self._start = start

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns the texts, and no model."""
        texts = input_dict["trained"]
        limit = first_run_limit(
            store, input_dict["model"], texts, span=self._span, start=self._start
        )
        newest = {
            each.span: each
            for each in sorted(texts, key=lambda each: each.id)
            if each.span != self._span and each.id < limit
        }
        covered = {id for each in newest.values() for id in covers(each)}
        chosen = [newest[span] for span in sorted(newest) if newest[span].id not in covered]
        return {"trained": chosen, "model": []}


class LastBlessedModel(ResolverStrategy):
    """Finds the model that a new one is compared with: the pushed model with the newest text.

    Inputs: `model` (Model), `model_blessing` (ModelBlessing) and `evaluation` (ModelEvaluation),
    for the evaluation that the model was blessed by. A model that was blessed but failed the
    serving check was not pushed, and does not count. Once there is a model of this run's
    fingerprint, only models older than the first of them count, so that a rerun finds what the
    first run found, even if other models were blessed in between. Empty in a first run, and, with
    a warning, if the model's folder is gone and training starts from new weights.
    """

    def __init__(self, fingerprint: str, start: str = "auto") -> None:
        self._fingerprint = fingerprint
        self._start = start

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns the model, its blessing and its evaluation, or empty lists.

        Raises:
            ConfigError: the model's folder is gone.
        """
        older = models_before(store, input_dict, self._fingerprint)
        try:
            last = newest_pushed(store, input_dict, older)
        except ConfigError as error:
            if self._start != "scratch":
                raise
            _log.warning("the new model is not compared with the last blessed one: %s", error.what)
            last = newest_pushed(store, input_dict, ())
        outputs = _sibling_outputs(store, last["model_blessing"])
        evaluation = [each for each in input_dict["evaluation"] if each.id in outputs]
        return {**last, "evaluation": evaluation}


def _sibling_outputs(store: MetadataStore, artifacts: Sequence[Artifact]) -> set[int]:
    """The ids of all outputs of the executions that wrote some artifacts."""
    if not artifacts:
        return set()
    events = store.get_events_by_artifact_ids([artifact.id for artifact in artifacts])
    executions = {event.execution_id for event in events if event.type == event.OUTPUT}
    events = store.get_events_by_execution_ids(executions)
    return {event.artifact_id for event in events if event.type == event.OUTPUT}
