"""Which artifacts of earlier runs a run builds on, so that a rerun finds the same ones again.

TFX's own strategies take the artifact with the highest id. After a run's first pass its own
artifacts are the newest: its rerun would compare a span with itself and train on from its own
model, and no step would be a cache hit. These look at spans and fingerprints instead, which they
read in ML Metadata.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_metadata import MetadataStore
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.layout import PROVENANCE_FILE, SAVED_MODEL_FOLDER
from components.lineage.properties import FINGERPRINT, ROLLED_BACK, SPANS, TEST_SHARE, covers
from models.errors import ConfigError

_BLESSED = "blessed"  # custom properties that TFX's Evaluator sets on a ModelBlessing
_BLESSED_MODEL_ID = "current_model_id"
_PUSHED_MODEL = "PushedModel"  # the type of what its Pusher writes, and its custom property
_PUSHED_VERSION = "pushed_version"
_log = logging.getLogger("polyseme.evaluator")
Models = dict[str, list[Artifact]]


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


class TrainedEarlier(ResolverStrategy):
    """What runs on other spans trained on: held-out text must not be among it.

    Inputs: `trained` (TrainedTexts, each with what came before it) and `model` (Model). It is the
    newest of each other span, but for those whose keys are in another one: mostly one is left. Once
    a model that has seen this run's span is pushed, only those
    count that are older than this span's first, so that a rerun is judged by the same text; but not
    where training starts from a model that may have seen more. Empty in a first run.
    """

    def __init__(self, span: int, start: str) -> None:
        self._span = span
        self._start = start

    def resolve_artifacts(self, store: MetadataStore, input_dict: Models) -> Models:
        """The texts and nothing else, or empty lists."""
        texts = input_dict["trained"]
        first = first_of_pushed_span(
            store, input_dict["model"], texts, span=self._span, start=self._start
        )
        newest = {
            each.span: each
            for each in sorted(texts, key=lambda each: each.id)
            if each.span != self._span and each.id < first
        }
        covered = {number for each in newest.values() for number in covers(each)}
        chosen = [newest[span] for span in sorted(newest) if newest[span].id not in covered]
        return {"trained": chosen, "model": []}


def first_of_pushed_span(
    store: MetadataStore,
    models: Iterable[Artifact],
    artifacts: Iterable[Artifact],
    *,
    span: int,
    start: str,
) -> float:
    """The number of the first artifact of a span that some pushed model has seen; else infinity.

    Artifacts below it are those that a first run on the span could have found. Where `start` names
    a model that may have seen other spans since, all of them count.

    Args:
        models: all Model artifacts.
        artifacts: those of one type, of all spans.
        span: the run's.
        start: see `TrainingConfig.start`.
    """
    pushed = pushed_versions(store)
    done = any(span in spans_of(model) for model in models if model.id in pushed)
    if not done or start not in ("auto", "scratch"):
        return math.inf
    return min((each.id for each in artifacts if each.span == span), default=math.inf)


class LastBlessedModel(ResolverStrategy):
    """The model that a new one is compared with: of the pushed ones that with the newest text.

    Inputs: `model` (Model), `model_blessing` (ModelBlessing) and `evaluation` (ModelEvaluation); it
    gives the one that the model was blessed by. A model that was blessed but did not pass the
    serving check was not pushed, and does not count. Once a model of this run's own fingerprint is
    there, only models older than the first of them count, so that a rerun finds what the first run
    found even when others have been blessed in between. Empty in a first run, and, with a warning,
    where the model's folder is gone and training is to begin anew.
    """

    def __init__(self, fingerprint: str, start: str = "auto") -> None:
        self._fingerprint = fingerprint
        self._start = start

    def resolve_artifacts(self, store: MetadataStore, input_dict: Models) -> Models:
        """The model, its blessing and its evaluation, or empty lists.

        Raises:
            ConfigError: the model's folder is gone.
        """
        older = older_than_own(store, input_dict, self._fingerprint)
        try:
            found = newest_pushed(store, input_dict, older)
        except ConfigError as error:
            if self._start != "scratch":
                raise
            _log.warning("the new model is not compared with the last blessed one: %s", error.what)
            found = newest_pushed(store, input_dict, ())
        beside = _made_with(store, found["model_blessing"])
        evaluation = [each for each in input_dict["evaluation"] if each.id in beside]
        return {**found, "evaluation": evaluation}


def write_origin(
    model: Artifact,
    *,
    span: int,
    fingerprint: str,
    test_share: float,
    examples: Artifact | None = None,
    base: Artifact | None = None,
) -> None:
    """Gives a Model artifact the properties that these strategies choose by.

    Args:
        model: the model.
        span: the span that it was trained on.
        fingerprint: of its run's provenance.
        test_share: share of the documents that models are tested on.
        examples: what it was trained on, which may be of several spans.
        base: the model that training started from, whose spans it has seen too.
    """
    window = examples.get_string_custom_property(SPANS) if examples else ""
    seen = {span, *json.loads(window or "[]"), *(spans_of(base) if base else ())}
    model.set_string_custom_property(SPANS, json.dumps(sorted(seen)))
    model.set_string_custom_property(FINGERPRINT, fingerprint)
    model.set_float_custom_property(TEST_SHARE, test_share)


def spans_of(model: Artifact) -> Sequence[int]:
    """The spans that a model's weights come from, ascending; empty if nothing says so."""
    known = model.get_string_custom_property(SPANS)
    if known:
        return json.loads(known)
    provenance = read_provenance(model.uri)  # of a model that an older release trained
    return [provenance["span"]] if "span" in provenance else []


def read_provenance(model_uri: str) -> Mapping[str, Any]:
    """Where an exported model comes from; empty if its folder doesn't say."""
    file = pathlib.Path(model_uri) / SAVED_MODEL_FOLDER / PROVENANCE_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def older_than_own(store: MetadataStore, input_dict: Models, fingerprint: str) -> list[Artifact]:
    """The models that come before all of this fingerprint, those that were pruned too."""
    models = [*input_dict["model"], *_pruned(store, input_dict["model"])]
    own = [model.id for model in models if _fingerprint(model) == fingerprint]
    return [model for model in models if model.id < min(own, default=model.id + 1)]


def _pruned(store: MetadataStore, present: Sequence[Artifact]) -> list[Artifact]:
    """The pushed models whose files were removed: TFX gives a resolver only those that are there.

    A run that would build on one of them is refused, and does not begin with new weights.
    """
    gone = set(pushed_versions(store)) - {model.id for model in present}
    if not gone:
        return []
    kind = store.get_artifact_type("Model")
    return [
        artifact_utils.deserialize_artifact(kind, artifact)
        for artifact in store.get_artifacts_by_id(gone)
    ]


def _fingerprint(model: Artifact) -> str:
    known = model.get_string_custom_property(FINGERPRINT)
    return known or read_provenance(model.uri).get("fingerprint", "")


def newest_pushed(store: MetadataStore, input_dict: Models, models: Iterable[Artifact]) -> Models:
    """Of the pushed ones among `models` the one that has seen the newest text, and its blessing.

    Raises:
        ConfigError: its folder is gone.
    """
    blessings = {
        blessing.get_int_custom_property(_BLESSED_MODEL_ID): blessing
        for blessing in sorted(input_dict["model_blessing"], key=lambda blessing: blessing.id)
        if blessing.get_int_custom_property(_BLESSED) == 1
    }
    pushed = pushed_versions(store)
    candidates = [
        model
        for model in models
        if model.id in blessings and model.id in pushed and spans_of(model)
    ]
    if not candidates:
        return {"model": [], "model_blessing": []}
    last = max(candidates, key=lambda model: (spans_of(model)[-1], model.id))
    if not os.path.isdir(last.uri):
        raise ConfigError(
            "the last blessed model, which this run builds on, is not there any more",
            where=last.uri,
            remedy="put it back, set training.start=scratch, or give the run another --name",
        )
    return {"model": [last], "model_blessing": [blessings[last.id]]}


def _made_with(store: MetadataStore, artifacts: Sequence[Artifact]) -> set[int]:
    """The numbers of all outputs of the steps that made some artifacts."""
    if not artifacts:
        return set()
    events = store.get_events_by_artifact_ids([artifact.id for artifact in artifacts])
    makers = {event.execution_id for event in events if event.type == event.OUTPUT}
    made = store.get_events_by_execution_ids(makers)
    return {event.artifact_id for event in made if event.type == event.OUTPUT}


def pushed_versions(store: MetadataStore) -> dict[int, str]:
    """The versions of the models that were pushed and not rolled back, by the Model's number."""
    if _PUSHED_MODEL not in {kind.name for kind in store.get_artifact_types()}:
        return {}
    versions = {
        artifact.id: artifact.custom_properties[_PUSHED_VERSION].string_value
        for artifact in store.get_artifacts_by_type(_PUSHED_MODEL)
        if artifact.custom_properties["pushed"].int_value == 1
        and artifact.custom_properties[ROLLED_BACK].int_value != 1
    }
    makers = {
        event.execution_id: versions[event.artifact_id]
        for event in store.get_events_by_artifact_ids(versions)
        if event.type == event.OUTPUT
    }
    return {
        event.artifact_id: makers[event.execution_id]
        for event in store.get_events_by_execution_ids(makers)
        if event.type == event.INPUT and event.path.steps[0].key == "model"
    }
