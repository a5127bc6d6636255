"""Which artifacts of earlier runs a run builds on, so that a rerun finds the same ones again.

TFX's own strategies take the artifact with the highest id. After a run's first pass its own
artifacts are the newest: its rerun would compare a span with itself and train on from its own
model, and no step would be a cache hit. These look at spans and fingerprints instead.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types.artifact import Artifact

PROVENANCE_FILE = "Format-Serving/assets.extra/provenance.json"
"""In a Model artifact's folder; holds `span` and `fingerprint` of the run that trained it."""
_BLESSED = "blessed"  # custom properties that TFX's Evaluator sets on a ModelBlessing
_BLESSED_MODEL_ID = "current_model_id"


class LastApprovedStatistics(ResolverStrategy):
    """The statistics of the last earlier span whose documents passed the gate.

    Inputs: `statistics` (ExampleStatistics) and `approval` (DataApproval). Refused statistics
    don't count: text that was bad once would else be the measure for the next. Empty in a first
    run.
    """

    def __init__(self, span: int) -> None:
        self._span = span

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The last statistics and their approval, or empty lists."""
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
    """The approval of the last earlier span whose examples passed the gate, with their figures.

    Input: `approval` (ExamplesApproval). Empty in a first run.
    """

    def __init__(self, span: int) -> None:
        self._span = span

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The last approval, or an empty list."""
        earlier = [each for each in input_dict["approval"] if each.span < self._span]
        if not earlier:
            return {"approval": []}
        return {"approval": [max(earlier, key=lambda approval: (approval.span, approval.id))]}


class LastBlessedModel(ResolverStrategy):
    """The last blessed model that a run may build on and be compared with.

    Inputs: `model` (Model) and `model_blessing` (ModelBlessing). A model counts if its span is not
    later than this run's and its fingerprint another. Once a model of this run's own fingerprint
    is there, only models older than the first of them count, so that a rerun finds what the first
    run found even when others have been blessed in between. Models without provenance don't count.
    Empty in a first run.
    """

    def __init__(self, span: int, fingerprint: str) -> None:
        self._span = span
        self._fingerprint = fingerprint

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """The last model and its blessing, or empty lists."""
        blessings = {
            blessing.get_int_custom_property(_BLESSED_MODEL_ID): blessing
            for blessing in sorted(input_dict["model_blessing"], key=lambda blessing: blessing.id)
            if blessing.get_int_custom_property(_BLESSED) == 1
        }
        provenance = {model.id: read_provenance(model.uri) for model in input_dict["model"]}
        own = [
            model.id
            for model in input_dict["model"]
            if provenance[model.id].get("fingerprint") == self._fingerprint
        ]
        candidates = [
            model
            for model in input_dict["model"]
            if model.id in blessings
            and provenance[model.id].get("span", self._span + 1) <= self._span
            and model.id < min(own, default=model.id + 1)
        ]
        if not candidates:
            return {"model": [], "model_blessing": []}
        last = max(candidates, key=lambda model: (provenance[model.id]["span"], model.id))
        return {"model": [last], "model_blessing": [blessings[last.id]]}


def read_provenance(model_uri: str) -> Mapping[str, Any]:
    """Where an exported model comes from; empty if its folder doesn't say."""
    file = pathlib.Path(model_uri) / PROVENANCE_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
