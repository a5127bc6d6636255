"""Tests of queries for pushed models: which of them a run finds, and removed models."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import pytest
from tfx.types.standard_artifacts import Examples, Model

from components.lineage import pushed_models
from components.lineage.pushed_models import first_run_limit, models_before, newest_pushed
from models.errors import ConfigError
from tests.components.resolver_artifacts import artifact, pushed_model

STORE: Any = None
"""The functions of ML Metadata are replaced."""


@pytest.fixture(autouse=True)
def _pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model with the id 1 is pushed as version 17."""
    monkeypatch.setattr(pushed_models, "pushed_versions", lambda store: {1: "17"})


def model(id: int, fingerprint: str = "", spans: str = "[1]") -> Model:
    made = artifact(Model, id)
    made.set_string_custom_property("fingerprint", fingerprint)
    made.set_string_custom_property("spans", spans)
    return made


def test_only_a_blessed_and_pushed_model_is_found(tmp_path: pathlib.Path) -> None:
    inputs = pushed_model(tmp_path, spans="[1]", fingerprint="a")
    other = model(2)  # not pushed
    found = newest_pushed(STORE, inputs, [*inputs["model"], other])
    assert [each.id for each in found["model"]] == [1]
    assert found["model_blessing"] == inputs["model_blessing"]
    assert newest_pushed(STORE, inputs, [other]) == {"model": [], "model_blessing": []}


def test_a_model_whose_folder_was_removed_is_refused(tmp_path: pathlib.Path) -> None:
    inputs = pushed_model(tmp_path / "gone", spans="[1]", fingerprint="a")
    with pytest.raises(ConfigError, match="was removed") as caught:
        newest_pushed(STORE, inputs, inputs["model"])
    assert caught.value.where == str(tmp_path / "gone")


def test_a_rerun_sees_only_models_older_than_its_own() -> None:
    models = [model(1, "a"), model(2, "b"), model(3, "a")]
    inputs = {"model": models}
    assert [each.id for each in models_before(STORE, inputs, "b")] == [1]
    assert [each.id for each in models_before(STORE, inputs, "a")] == []
    assert [each.id for each in models_before(STORE, inputs, "c")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("span", "start", "limit"),
    [
        (1, "auto", 11),
        (1, "scratch", 11),
        (1, "last_blessed", math.inf),  # that model may have seen other spans since
        (1, "17", math.inf),
        (2, "auto", math.inf),  # no pushed model was trained on it
    ],
)
def test_a_rerun_of_a_pushed_span_sees_only_older_artifacts(
    span: int, start: str, limit: float
) -> None:
    artifacts = [artifact(Examples, id, span=of) for id, of in {12: 1, 11: 1, 10: 2}.items()]
    models = [model(1, spans="[1]"), model(2, spans="[2]")]
    assert first_run_limit(STORE, models, artifacts, span=span, start=start) == limit
