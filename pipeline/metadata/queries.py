"""Queries of a pipeline's metadata: runs, their steps and artifacts, read without TFX."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.lineage.properties import ROLLED_BACK
from components.lineage.span_label import LABEL_PROPERTY, span_label
from models.errors import ConfigError
from pipeline.metadata.relocation import correct_paths
from pipeline.metadata.store import DATABASE, has_database, open_store

_EXECUTION = metadata_store_pb2.Execution
_EVENT = metadata_store_pb2.Event
_ARTIFACT = metadata_store_pb2.Artifact
_STATES = {
    _EXECUTION.NEW: "interrupted",
    _EXECUTION.RUNNING: "interrupted",  # read after the run, or while this process holds its lock
    _EXECUTION.COMPLETE: "done",
    _EXECUTION.CACHED: "cached",
    _EXECUTION.FAILED: "failed",
    _EXECUTION.CANCELED: "failed",
}
SUCCEEDED = ("done", "cached")
"""The states of a step whose outputs are complete."""


@dataclasses.dataclass(frozen=True)
class ArtifactRecord:
    """An artifact in ML Metadata.

    Attributes:
        id: its number.
        type: name of its type.
        uri: its folder.
        properties: its properties and custom properties by name.
    """

    id: int
    type: str
    uri: str
    properties: Mapping[str, Any]

    @property
    def rolled_back(self) -> bool:
        """Whether the artifact is a pushed model that was taken out of service."""
        return self.properties.get(ROLLED_BACK) == 1

    @property
    def span_label(self) -> str:
        """The span of the artifact, for people."""
        return span_label(int(self.properties.get("span", 0)), self.properties.get(LABEL_PROPERTY))


@dataclasses.dataclass(frozen=True)
class NodeRecord:
    """One step of one run: an execution in ML Metadata.

    Attributes:
        id: number of the execution.
        component: name of the node in the pipeline.
        state: `done`, `cached`, `failed`, or `interrupted` if its end was not recorded.
        seconds: from its registration to its last change.
        parameters: its execution properties.
        inputs: artifacts by name of the input.
        outputs: artifacts by name of the output.
    """

    id: int
    component: str
    state: str
    seconds: float
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Sequence[ArtifactRecord]]
    outputs: Mapping[str, Sequence[ArtifactRecord]]

    @property
    def succeeded(self) -> bool:
        """Whether the outputs of the step are complete."""
        return self.state in SUCCEEDED

    @property
    def span_label(self) -> str:
        """The span that TextExampleGen read, for people."""
        documents = self.output("examples")
        label = documents.properties.get(LABEL_PROPERTY) if documents else None
        return span_label(self.parameters["span"], self.parameters.get("label", label))

    def output(self, name: str) -> ArtifactRecord | None:
        """The first artifact of an output, None if there is none."""
        return next(iter(self.outputs.get(name, ())), None)

    def input(self, name: str) -> ArtifactRecord | None:
        """The first artifact of an input, None if there is none."""
        return next(iter(self.inputs.get(name, ())), None)


class RunHistory:
    """The runs of one pipeline, read from its folder."""

    def __init__(self, folder: pathlib.Path | str, *, create: bool = False) -> None:
        """Opens `<folder>/metadata.sqlite`.

        Args:
            folder: the pipeline's folder.
            create: create the database if it does not exist.

        Raises:
            ConfigError: the database does not exist, because the pipeline has never run in this
                folder, or it is damaged.
        """
        self.folder = pathlib.Path(folder)
        self._absolute = self.folder.absolute()
        file = self.folder / DATABASE
        if not create and not has_database(self.folder):
            raise ConfigError(
                "the pipeline has no run yet",
                where=str(file),
                remedy="check --runs and --name, or start one: python -m pipeline run RECIPE",
            )
        self._store = open_store(file)

    def run_ids(self) -> list[str]:
        """The ids of all runs, oldest first."""
        return [context.name for context in self._contexts("pipeline_run")]

    def nodes(self, run_id: str) -> dict[str, NodeRecord]:
        """The steps of a run that were started, by name, in the order in which they started."""
        context = self._store.get_context_by_type_and_name("pipeline_run", run_id)
        if context is None:
            return {}
        executions = self._store.get_executions_by_context(context.id)
        records = self._records(sorted(executions, key=lambda execution: execution.id))
        return {record.component: record for record in records}

    def note(self, kind: str, name: str, values: Mapping[str, int | str]) -> None:
        """Stores values under a name, replacing the values of that name.

        They are stored as a context of the type `kind` that no execution belongs to, so they can be
        stored before a run has any execution.
        """
        context = metadata_store_pb2.Context(
            type_id=self._store.put_context_type(metadata_store_pb2.ContextType(name=kind)),
            name=name,
        )
        stored = self._store.get_context_by_type_and_name(kind, name)
        if stored:
            context.id = stored.id
        for key, value in values.items():
            if isinstance(value, int):
                context.custom_properties[key].int_value = value
            else:
                context.custom_properties[key].string_value = value
        self._store.put_contexts([context])

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        """The values stored by `note`, by name, in the order of their first storing."""
        return {context.name: _values(context) for context in self._contexts(kind)}

    def pushed(self) -> list[ArtifactRecord]:
        """The PushedModel artifacts that were pushed, oldest first, including those rolled back."""
        if "PushedModel" not in {kind.name for kind in self._store.get_artifact_types()}:
            return []
        artifacts = self._artifacts(self._store.get_artifacts_by_type("PushedModel"))
        return sorted(
            (artifact for artifact in artifacts if artifact.properties.get("pushed") == 1),
            key=lambda artifact: artifact.id,
        )

    def present(self, kinds: Sequence[str]) -> list[ArtifactRecord]:
        """The artifacts of these types that are not recorded as deleted, oldest first."""
        stored_types = {kind.name for kind in self._store.get_artifact_types()}
        artifacts = [
            artifact
            for kind in kinds
            if kind in stored_types
            for artifact in self._store.get_artifacts_by_type(kind)
            if artifact.state in (_ARTIFACT.LIVE, _ARTIFACT.MARKED_FOR_DELETION)
        ]
        return sorted(self._artifacts(artifacts), key=lambda artifact: artifact.id)

    def mark(self, artifacts: Sequence[ArtifactRecord], *, deleted: bool) -> None:
        """Records that artifacts are deleted, or will be; no run uses such artifacts.

        Args:
            artifacts: the artifacts.
            deleted: whether their files are gone; if not, they are marked for deletion.
        """
        if not artifacts:
            return
        records = self._store.get_artifacts_by_id([artifact.id for artifact in artifacts])
        for record in records:
            record.state = _ARTIFACT.DELETED if deleted else _ARTIFACT.MARKED_FOR_DELETION
        self._store.put_artifacts(records)

    def set_rolled_back(self, artifact: ArtifactRecord, rolled_back: bool) -> None:
        """Records whether a pushed model was taken out of service."""
        (record,) = self._store.get_artifacts_by_id([artifact.id])
        record.custom_properties[ROLLED_BACK].int_value = int(rolled_back)
        self._store.put_artifacts([record])

    def producer(self, artifact: ArtifactRecord) -> NodeRecord:
        """The step that made an artifact, as opposed to steps that took it from the cache.

        Raises:
            ConfigError: the metadata does not record it.
        """
        events = self._store.get_events_by_artifact_ids([artifact.id])
        makers = sorted(event.execution_id for event in events if event.type == _EVENT.OUTPUT)
        for record in self._records(self._store.get_executions_by_id(makers[:1])):
            return record
        raise ConfigError(
            f"the metadata does not record which step made artifact {artifact.id}",
            where=artifact.uri,
        )

    def _contexts(self, kind: str) -> list[Any]:
        if kind not in {stored.name for stored in self._store.get_context_types()}:
            return []
        return sorted(self._store.get_contexts_by_type(kind), key=lambda context: context.id)

    @functools.cached_property
    def _context_types(self) -> dict[int, str]:
        return {kind.id: kind.name for kind in self._store.get_context_types()}

    def _context_of(self, execution: Any, kind: str) -> str:
        """Name of the context of a type that TFX put an execution into; empty without one."""
        for context in self._store.get_contexts_by_execution(execution.id):
            if self._context_types[context.type_id] == kind:
                return context.name
        return ""

    def _records(self, executions: Sequence[Any]) -> list[NodeRecord]:
        ids = [execution.id for execution in executions]
        events = self._store.get_events_by_execution_ids(ids) if ids else []
        artifact_ids = sorted({event.artifact_id for event in events})
        artifacts = {
            artifact.id: artifact
            for artifact in self._artifacts(self._store.get_artifacts_by_id(artifact_ids))
        }
        return [self._record(execution, events, artifacts) for execution in executions]

    def _record(
        self, execution: Any, events: Iterable[Any], artifacts: Mapping[int, ArtifactRecord]
    ) -> NodeRecord:
        linked: dict[int, dict[str, list[ArtifactRecord]]] = {_EVENT.INPUT: {}, _EVENT.OUTPUT: {}}
        for event in events:
            if event.execution_id == execution.id and event.type in linked:
                name = event.path.steps[0].key
                linked[event.type].setdefault(name, []).append(artifacts[event.artifact_id])
        return NodeRecord(
            id=execution.id,
            component=_component(self._context_of(execution, "node")),
            state=_STATES.get(execution.last_known_state, "failed"),
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch)
            / 1000,
            parameters=_values(execution),
            inputs=linked[_EVENT.INPUT],
            outputs=linked[_EVENT.OUTPUT],
        )

    def _artifacts(self, artifacts: Iterable[Any]) -> list[ArtifactRecord]:
        records = []
        for artifact in artifacts:
            correct_paths(artifact, self._absolute)
            records.append(
                ArtifactRecord(artifact.id, artifact.type, artifact.uri, _values(artifact))
            )
        return records


def _component(context_name: str) -> str:
    """The component in the name of a node context, `<pipeline>.<component>`."""
    return context_name.rpartition(".")[2]


def _values(record: Any) -> dict[str, Any]:
    """The properties and custom properties of a record as Python values."""
    return {
        name: getattr(value, value.WhichOneof("value"))
        for properties in (record.properties, record.custom_properties)
        for name, value in properties.items()
        if value.WhichOneof("value")
    }
