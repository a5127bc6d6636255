"""Artifacts for tests of resolvers, as ML Metadata would return them."""

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
    """An artifact with an id, a folder, integer custom properties, and properties."""
    result = kind()
    result.id = identity
    result.uri = uri
    for name, value in properties.items():
        setattr(result, name, value)
    for name, value in (custom or {}).items():
        result.set_int_custom_property(name, value)
    return result


def pushed_model(uri: Any, **properties: str) -> dict[str, list[Any]]:
    """The inputs of a resolver: only a blessed model with the id 1."""
    model = artifact(Model, 1, uri=str(uri))
    for name, value in properties.items():
        model.set_string_custom_property(name, value)
    blessing = artifact(ModelBlessing, 2, custom={"blessed": 1, "current_model_id": 1})
    other_inputs: dict[str, list[Any]] = {"approval": [], "documents": [], "evaluation": []}
    return {"model": [model], "model_blessing": [blessing], **other_inputs}
