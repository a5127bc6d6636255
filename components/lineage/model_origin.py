"""The origin of a Model artifact: spans and fingerprint, as properties that resolvers read."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.types.artifact import Artifact

from components.layout import PROVENANCE_FILE, SAVED_MODEL_FOLDER
from components.lineage.properties import FINGERPRINT, SPANS, TEST_SHARE


def write_origin(
    model: Artifact,
    *,
    span: int,
    fingerprint: str,
    test_share: float,
    examples: Artifact | None = None,
    base: Artifact | None = None,
) -> None:
    """Records a model's origin as properties of its artifact.

    Args:
        model: the Model artifact.
        span: the span that it was trained on.
        fingerprint: fingerprint of the run's provenance.
        test_share: share of the documents in the split "test".
        examples: the Examples that it was trained on, which may come from several spans.
        base: the Model that training started from, whose spans count too.
    """
    window = examples.get_string_custom_property(SPANS) if examples else ""
    spans = {span, *json.loads(window or "[]"), *(spans_of(base) if base else ())}
    model.set_string_custom_property(SPANS, json.dumps(sorted(spans)))
    model.set_string_custom_property(FINGERPRINT, fingerprint)
    model.set_float_custom_property(TEST_SHARE, test_share)


def spans_of(model: Artifact) -> Sequence[int]:
    """The spans that a model and its base models were trained on, ascending; empty if unknown."""
    spans = model.get_string_custom_property(SPANS)
    if spans:
        return json.loads(spans)
    provenance = read_provenance(model.uri)  # of a model of an earlier release
    return [provenance["span"]] if "span" in provenance else []


def fingerprint_of(model: Artifact) -> str:
    """The fingerprint of a model's provenance, empty if unknown."""
    fingerprint = model.get_string_custom_property(FINGERPRINT)
    return fingerprint or read_provenance(model.uri).get("fingerprint", "")


def read_provenance(model_uri: str) -> Mapping[str, Any]:
    """The provenance that was exported with a model; empty if there is none."""
    file = pathlib.Path(model_uri, SAVED_MODEL_FOLDER, PROVENANCE_FILE)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
