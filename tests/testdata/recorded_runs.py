"""Writes a pipeline's metadata as TFX does, without running TFX."""

import pathlib
from collections.abc import Mapping
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as mlmd


class Recorder:
    """Writes runs into `<folder>/metadata.sqlite` with TFX's types of contexts and events."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = str(folder / "metadata.sqlite")
        self._store = ml_metadata.MetadataStore(connection)

    def artifact(self, kind: str, uri: pathlib.Path | str = "", **properties: Any) -> int:
        """Records an artifact with these custom properties; returns its id."""
        artifact = mlmd.Artifact(
            type_id=self._store.put_artifact_type(mlmd.ArtifactType(name=kind)),
            state=mlmd.Artifact.LIVE,
        )
        _set(artifact.custom_properties, properties)
        (number,) = self._store.put_artifacts([artifact])
        artifact.id = number
        artifact.uri = str(uri or self.folder / "artifacts" / kind / str(number))
        self._store.put_artifacts([artifact])
        return number

    def execution(
        self,
        run: str,
        component: str,
        state: int = mlmd.Execution.COMPLETE,
        *,
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, int] | None = None,
        outputs: Mapping[str, int] | None = None,
    ) -> int:
        """Records an execution of a component in a run; returns its id.

        `inputs` and `outputs` are ids of artifacts by name.
        """
        execution = mlmd.Execution(
            type_id=self._store.put_execution_type(mlmd.ExecutionType(name=f"x.{component}")),
            last_known_state=state,
        )
        _set(execution.custom_properties, parameters or {})
        contexts = [self._context("pipeline_run", run), self._context("node", f"p.{component}")]
        events = []
        for kind, artifacts in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for name, number in (artifacts or {}).items():
                event = mlmd.Event(artifact_id=number, type=kind)
                event.path.steps.add(key=name)
                event.path.steps.add(index=0)
                events.append((mlmd.Artifact(id=number), event))
        artifacts_and_events = [
            (self._store.get_artifacts_by_id([artifact.id])[0], event) for artifact, event in events
        ]
        number, _, _ = self._store.put_execution(execution, artifacts_and_events, contexts)
        return number

    def _context(self, kind: str, name: str) -> mlmd.Context:
        known = self._store.get_context_by_type_and_name(kind, name)
        if known:
            return known
        type_id = self._store.put_context_type(mlmd.ContextType(name=kind))
        (number,) = self._store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
        return self._store.get_contexts_by_id([number])[0]


def _set(properties: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int):
            properties[name].int_value = value
        elif isinstance(value, float):
            properties[name].double_value = value
        else:
            properties[name].string_value = value
