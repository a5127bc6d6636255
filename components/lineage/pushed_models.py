"""Queries for pushed models in ML Metadata, and which of them a rerun may find."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

from ml_metadata import MetadataStore
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.lineage.model_origin import fingerprint_of, spans_of
from components.lineage.properties import ROLLED_BACK
from models.errors import ConfigError

Artifacts = dict[str, list[Artifact]]
"""Inputs or outputs of a resolver, by name."""

_BLESSED = "blessed"  # custom properties that TFX's Evaluator sets on a ModelBlessing
_BLESSED_MODEL_ID = "current_model_id"
_PUSHED_MODEL = "PushedModel"  # type of the artifact that TFX's Pusher writes
_PUSHED_VERSION = "pushed_version"  # and a custom property of it


def pushed_versions(store: MetadataStore) -> dict[int, str]:
    """The versions of all models that were pushed and not rolled back, by the Model's id."""
    if _PUSHED_MODEL not in {kind.name for kind in store.get_artifact_types()}:
        return {}
    versions = {
        artifact.id: artifact.custom_properties[_PUSHED_VERSION].string_value
        for artifact in store.get_artifacts_by_type(_PUSHED_MODEL)
        if artifact.custom_properties["pushed"].int_value == 1
        and artifact.custom_properties[ROLLED_BACK].int_value != 1
    }
    by_execution = {
        event.execution_id: versions[event.artifact_id]
        for event in store.get_events_by_artifact_ids(versions)
        if event.type == event.OUTPUT
    }
    return {
        event.artifact_id: by_execution[event.execution_id]
        for event in store.get_events_by_execution_ids(by_execution)
        if event.type == event.INPUT and event.path.steps[0].key == "model"
    }


def newest_pushed(store: MetadataStore, inputs: Artifacts, models: Iterable[Artifact]) -> Artifacts:
    """The pushed model among `models` that has seen the newest text, and its blessing.

    Args:
        store: the pipeline's metadata.
        inputs: a resolver's inputs, with `model_blessing`.
        models: Model artifacts.

    Returns:
        `model` and `model_blessing`, each a list of one artifact, or empty.

    Raises:
        ConfigError: the model's folder is gone.
    """
    blessings = {
        blessing.get_int_custom_property(_BLESSED_MODEL_ID): blessing
        for blessing in sorted(inputs["model_blessing"], key=lambda blessing: blessing.id)
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
    newest = max(candidates, key=lambda model: (spans_of(model)[-1], model.id))
    if not os.path.isdir(newest.uri):
        raise ConfigError(
            "the last blessed model, which this run builds on, was removed",
            where=newest.uri,
            remedy="restore it, set training.start=scratch, or give the run another --name",
        )
    return {"model": [newest], "model_blessing": [blessings[newest.id]]}


def models_before(store: MetadataStore, inputs: Artifacts, fingerprint: str) -> list[Artifact]:
    """The models that are older than all models of a fingerprint, pruned models included.

    Args:
        store: the pipeline's metadata.
        inputs: a resolver's inputs, with `model`.
        fingerprint: fingerprint of the run's provenance.
    """
    models = [*inputs["model"], *_pruned(store, inputs["model"])]
    ids = [model.id for model in models if fingerprint_of(model) == fingerprint]
    return [model for model in models if model.id < min(ids, default=model.id + 1)]


def _pruned(store: MetadataStore, present: Sequence[Artifact]) -> list[Artifact]:
    """The pushed models whose files were removed; TFX gives a resolver only those that are present.

    A run that would build on one of them is refused, instead of starting from new weights.
    """
    pruned = set(pushed_versions(store)) - {model.id for model in present}
    if not pruned:
        return []
    kind = store.get_artifact_type("Model")
    return [
        artifact_utils.deserialize_artifact(kind, artifact)
        for artifact in store.get_artifacts_by_id(pruned)
    ]


def first_run_limit(
    store: MetadataStore,
    models: Iterable[Artifact],
    artifacts: Iterable[Artifact],
    *,
    span: int,
    start: str,
) -> float:
    """A limit: the first run on a span could only have found artifacts with ids below it.

    Once a pushed model was trained on the span, it is the id of the span's first artifact. It is
    infinity before that, and if `start` names a model that may have seen other spans since.

    Args:
        store: the pipeline's metadata.
        models: all Model artifacts.
        artifacts: the artifacts of one type, of all spans.
        span: the run's span.
        start: see `TrainingConfig.start`.
    """
    pushed = pushed_versions(store)
    seen = any(span in spans_of(model) for model in models if model.id in pushed)
    if not seen or start not in ("auto", "scratch"):
        return math.inf
    return min((each.id for each in artifacts if each.span == span), default=math.inf)
