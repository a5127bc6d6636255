"""Artifacts as ML Metadata would give them to a resolver."""

from __future__ import annotations

from typing import Any

from tfx.types.standard_artifacts import Model, ModelBlessing


def artifact(
    kind: Any,
    identity: int,
    *,
    uri: str = "",
    custom: dict[str, int] | None = None,
    **properties: Any,
) -> Any:
    """An artifact with a number, a folder, custom properties that are numbers, and properties."""
    made = kind()
    made.id = identity
    made.uri = uri
    for name, value in properties.items():
        setattr(made, name, value)
    for name, value in (custom or {}).items():
        made.set_int_custom_property(name, value)
    return made


def pushed_model(uri: Any, **properties: str) -> dict[str, list[Any]]:
    """The inputs of a resolver: a model with the number 1, blessed, and nothing else."""
    model = artifact(Model, 1, uri=str(uri))
    for name, value in properties.items():
        model.set_string_custom_property(name, value)
    blessing = artifact(ModelBlessing, 2, custom={"blessed": 1, "current_model_id": 1})
    nothing: dict[str, list[Any]] = {"approval": [], "documents": [], "evaluation": []}
    return {"model": [model], "model_blessing": [blessing], **nothing}
