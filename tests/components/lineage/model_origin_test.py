"""The origin of a model is recorded on its artifact, and read from exports of earlier releases."""

from __future__ import annotations

import pathlib

from tfx.types.standard_artifacts import Examples, Model

from components.lineage.model_origin import fingerprint_of, read_provenance, spans_of, write_origin
from tests.components.resolver_artifacts import artifact


def test_a_model_has_seen_the_spans_of_its_base_too():
    base, model = artifact(Model, 1), artifact(Model, 2)
    write_origin(base, span=3, fingerprint="a", test_share=0.1)
    write_origin(model, span=2, fingerprint="b", test_share=0.1, base=base)
    assert spans_of(model) == [2, 3]
    assert model.get_string_custom_property("fingerprint") == "b"


def test_a_model_has_seen_the_spans_of_the_window_too():
    examples, model = artifact(Examples, 1), artifact(Model, 2)
    examples.set_string_custom_property("spans", "[2, 5]")
    write_origin(model, span=5, fingerprint="b", test_share=0.1, examples=examples)
    assert spans_of(model) == [2, 5]


def test_without_properties_the_exported_provenance_is_read(tmp_path: pathlib.Path) -> None:
    model = artifact(Model, 1)
    model.uri = str(tmp_path)
    assert (list(spans_of(model)), fingerprint_of(model), read_provenance(model.uri)) == (
        [],
        "",
        {},
    )
    file = tmp_path / "Format-Serving/assets.extra/provenance.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"span": 3, "fingerprint": "b"}')
    assert (list(spans_of(model)), fingerprint_of(model)) == ([3], "b")
