"""What ML Metadata knows about a pipeline's runs, read from the database without TFX."""

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
from pipeline.layout import ARTIFACTS, SERVING
from pipeline.metadata.store import DATABASE, has_database, open_store

_DESTINATION = "pushed_destination"  # custom property that TFX's Pusher sets
_EXECUTION = metadata_store_pb2.Execution
_EVENT = metadata_store_pb2.Event
_ARTIFACT = metadata_store_pb2.Artifact
_STATES = {
    _EXECUTION.NEW: "interrupted",
    _EXECUTION.RUNNING: "interrupted",  # nobody runs: readers come after the run, or hold its lock
    _EXECUTION.COMPLETE: "done",
    _EXECUTION.CACHED: "cached",
    _EXECUTION.FAILED: "failed",
    _EXECUTION.CANCELED: "failed",
}
SUCCEEDED = ("done", "cached")


@dataclasses.dataclass(frozen=True)
class ArtifactRecord:
    """An artifact: its number, type name, folder, and properties of both kinds."""

    id: int
    type: str
    uri: str
    properties: Mapping[str, Any]

    @property
    def rolled_back(self) -> bool:
        """Whether it is a pushed model that was taken out of service."""
        return self.properties.get(ROLLED_BACK) == 1

    @property
    def span_label(self) -> str:
        """The span it is of, for people."""
        return span_label(int(self.properties.get("span", 0)), self.properties.get(LABEL_PROPERTY))


@dataclasses.dataclass(frozen=True)
class NodeRecord:
    """How one component of one run ended.

    Attributes:
        id: number of the execution.
        component: name of the node in the pipeline.
        state: `done`, `cached`, `failed`, or `interrupted` if nobody recorded its end.
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
        """Whether its outputs are whole."""
        return self.state in SUCCEEDED

    @property
    def span_label(self) -> str:
        """The span that TextExampleGen read, for people."""
        made = self.output("examples")
        label = made.properties.get(LABEL_PROPERTY) if made else None
        return span_label(self.parameters["span"], self.parameters.get("label", label))

    def output(self, name: str) -> ArtifactRecord | None:
        """The first artifact of an output, None if it has none."""
        return next(iter(self.outputs.get(name, ())), None)

    def input(self, name: str) -> ArtifactRecord | None:
        """The first artifact of an input, None if it was absent."""
        return next(iter(self.inputs.get(name, ())), None)


class RunHistory:
    """The runs of one pipeline, read from its folder."""

    def __init__(self, folder: pathlib.Path | str, *, create: bool = False) -> None:
        """Opens `<folder>/metadata.sqlite`.

        Args:
            folder: the pipeline's folder.
            create: make the database if there is none.

        Raises:
            ConfigError: there is none: the pipeline never ran, or not here; or it is damaged.
        """
        self.folder = pathlib.Path(folder)
        self._absolute = self.folder.absolute()
        file = self.folder / DATABASE
        if not create and not has_database(self.folder):
            raise ConfigError(
                "no run has been here",
                where=str(file),
                remedy="check --runs and --name, or start one: python -m pipeline run RECIPE",
            )
        self._store = open_store(file)

    def run_ids(self) -> list[str]:
        """Every run's id, oldest first."""
        return [context.name for context in self._contexts("pipeline_run")]

    def nodes(self, run_id: str) -> dict[str, NodeRecord]:
        """The components of a run that were started, by name, in the order they were."""
        context = self._store.get_context_by_type_and_name("pipeline_run", run_id)
        if context is None:
            return {}
        executions = self._store.get_executions_by_context(context.id)
        records = self._records(sorted(executions, key=lambda execution: execution.id))
        return {record.component: record for record in records}

    def note(self, kind: str, name: str, values: Mapping[str, int | str]) -> None:
        """Keeps values under a name, in place of what was kept under it before.

        It is a context of a type of its own, `kind`, which no execution belongs to, so it does not
        take a run to write one.
        """
        context = metadata_store_pb2.Context(
            type_id=self._store.put_context_type(metadata_store_pb2.ContextType(name=kind)),
            name=name,
        )
        known = self._store.get_context_by_type_and_name(kind, name)
        if known:
            context.id = known.id
        for key, value in values.items():
            if isinstance(value, int):
                context.custom_properties[key].int_value = value
            else:
                context.custom_properties[key].string_value = value
        self._store.put_contexts([context])

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        """What `note` has kept, by name, in the order in which the names came."""
        return {context.name: _values(context) for context in self._contexts(kind)}

    def pushed(self) -> list[ArtifactRecord]:
        """The PushedModel artifacts that were pushed, oldest first, also those rolled back."""
        if "PushedModel" not in {kind.name for kind in self._store.get_artifact_types()}:
            return []
        found = self._artifacts(self._store.get_artifacts_by_type("PushedModel"))
        return sorted(
            (artifact for artifact in found if artifact.properties.get("pushed") == 1),
            key=lambda artifact: artifact.id,
        )

    def present(self, kinds: Sequence[str]) -> list[ArtifactRecord]:
        """The artifacts of these types that are not recorded as deleted, oldest first."""
        known = {kind.name for kind in self._store.get_artifact_types()}
        found = [
            artifact
            for kind in kinds
            if kind in known
            for artifact in self._store.get_artifacts_by_type(kind)
            if artifact.state in (_ARTIFACT.LIVE, _ARTIFACT.MARKED_FOR_DELETION)
        ]
        return sorted(self._artifacts(found), key=lambda artifact: artifact.id)

    def mark(self, artifacts: Sequence[ArtifactRecord], *, deleted: bool) -> None:
        """Records that artifacts are deleted or, before that, will be: no run uses them."""
        if not artifacts:
            return
        found = self._store.get_artifacts_by_id([artifact.id for artifact in artifacts])
        for artifact in found:
            artifact.state = _ARTIFACT.DELETED if deleted else _ARTIFACT.MARKED_FOR_DELETION
        self._store.put_artifacts(found)

    def set_rolled_back(self, artifact: ArtifactRecord, rolled_back: bool) -> None:
        """Records whether a pushed model was taken out of service."""
        (found,) = self._store.get_artifacts_by_id([artifact.id])
        found.custom_properties[ROLLED_BACK].int_value = int(rolled_back)
        self._store.put_artifacts([found])

    def producer(self, artifact: ArtifactRecord) -> NodeRecord:
        """The component execution that made an artifact, not one that took it from the cache."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        makers = sorted(event.execution_id for event in events if event.type == _EVENT.OUTPUT)
        for record in self._records(self._store.get_executions_by_id(makers[:1])):
            return record
        raise ConfigError(
            f"the metadata do not say what made artifact {artifact.id}", where=artifact.uri
        )

    def _contexts(self, kind: str) -> list[Any]:
        if kind not in {known.name for known in self._store.get_context_types()}:
            return []
        return sorted(self._store.get_contexts_by_type(kind), key=lambda context: context.id)

    @functools.cached_property
    def _context_types(self) -> dict[int, str]:
        return {kind.id: kind.name for kind in self._store.get_context_types()}

    def _context_of(self, execution: Any, kind: str) -> str:
        """Name of the context of one kind that TFX put an execution into."""
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
            component=_node(self._context_of(execution, "node")),
            state=_STATES.get(execution.last_known_state, "failed"),
            seconds=(execution.last_update_time_since_epoch - execution.create_time_since_epoch)
            / 1000,
            parameters=_values(execution),
            inputs=linked[_EVENT.INPUT],
            outputs=linked[_EVENT.OUTPUT],
        )

    def _artifacts(self, artifacts: Iterable[Any]) -> list[ArtifactRecord]:
        found = []
        for artifact in artifacts:
            _relocated(artifact, self._absolute)  # as if the folder had not been moved
            found.append(
                ArtifactRecord(artifact.id, artifact.type, artifact.uri, _values(artifact))
            )
        return found


def relocate(folder: pathlib.Path) -> int:
    """Writes into a pipeline's metadata where its folder is, if it was moved since.

    TFX records whole paths. Without this a run in a moved folder would find no artifact of the
    earlier runs and begin anew.

    Args:
        folder: the pipeline's folder, locked.

    Returns:
        How many artifacts were recorded elsewhere.
    """
    if not has_database(folder):
        return 0
    store = open_store(folder / DATABASE)
    moved = [artifact for artifact in store.get_artifacts() if _relocated(artifact, folder)]
    if moved:
        store.put_artifacts(moved)
    return len(moved)


def _relocated(artifact: Any, folder: pathlib.Path) -> bool:
    """Changes the places in an artifact's record to those in the folder; whether any did.

    An artifact lies in `artifacts/<component>/<output>/<number>`, a pushed version in
    `serving/<name>/<version>`.
    """
    changed = False
    here = _below(folder, artifact.uri, ARTIFACTS, 4)
    if here:
        artifact.uri, changed = here, True
    destination = artifact.custom_properties.get(_DESTINATION)
    here = _below(folder, destination.string_value, SERVING, 3) if destination else None
    if here:
        artifact.custom_properties[_DESTINATION].string_value, changed = here, True
    return changed


def _below(folder: pathlib.Path, recorded: str, first: str, levels: int) -> str | None:
    """A recorded place as it is in the folder now; None if it is recorded so, or is no such place.

    Args:
        folder: the pipeline's folder.
        recorded: an absolute path.
        first: the folder in the pipeline's that it lies in.
        levels: names of the path within the pipeline's folder.
    """
    parts = pathlib.PurePath(recorded).parts
    if len(parts) <= levels or parts[-levels] != first:
        return None
    here = folder.joinpath(*parts[-levels:])
    return str(here) if str(here) != recorded and here.exists() else None


def _node(context_name: str) -> str:
    """The component in a node context's name, `<pipeline>.<component>`."""
    return context_name.rpartition(".")[2]


def _values(record: Any) -> dict[str, Any]:
    """Properties and custom properties as Python values."""
    return {
        name: getattr(value, value.WhichOneof("value"))
        for properties in (record.properties, record.custom_properties)
        for name, value in properties.items()
        if value.WhichOneof("value")
    }
