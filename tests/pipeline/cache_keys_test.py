"""A step's cache key holds what its output depends on, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tfx.orchestration.portable import cache_utils, launcher
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from components.lineage.properties import CONTENT
from pipeline.cache_keys import cache_key, keys_by_content

STEP = ["Trainer", "type", "executor", "c0de"]


def artifact(number: int, content: str = "", uri: str = "/a") -> Examples:
    made = Examples()
    made.id = number
    made.uri = uri
    if content:
        made.set_string_custom_property(CONTENT, content)
    return made


def key(step: list[str] = STEP, examples: Examples | None = None, **parameters: Any) -> str:
    given = {"span": 3, "custom_config": json.dumps({"model": "m", "unkeyed": {"folder": "/a"}})}
    return cache_key(step, {"examples": [examples or artifact(7, "c0ffee")]}, given | parameters)


def test_what_the_output_depends_on_is_in_the_key() -> None:
    others = [
        key(["Trainer", "type", "executor", "other"]),
        key(examples=artifact(7, "decaf")),
        key(examples=artifact(7)),
        key(examples=artifact(8)),
        key(span=4),
        key(custom_config=json.dumps({"model": "n", "unkeyed": {"folder": "/a"}})),
        cache_key(STEP, {}, {"span": 3}),
    ]
    assert len({key(), *others}) == 1 + len(others)


def test_places_and_what_is_not_part_of_the_key_are_not_in_it() -> None:
    assert key() == key(examples=artifact(8, "c0ffee", "/elsewhere"))
    assert key(examples=artifact(7)) == key(examples=artifact(7, uri="/elsewhere"))
    assert key() == key(unkeyed='{"pattern": "/texts"}', push_destination="/served")
    assert key() == key(custom_config=json.dumps({"model": "m", "unkeyed": {"folder": "/b"}}))


def test_a_blessing_is_known_by_what_it_says() -> None:
    def judged(number: int, blessed: int) -> str:
        blessing = ModelBlessing()
        blessing.id = number
        blessing.set_int_custom_property("blessed", blessed)
        return cache_key(STEP, {"model": [artifact(7)], "model_blessing": [blessing]}, {})

    assert judged(8, 1) == judged(9, 1) != judged(9, 0)


def test_an_input_that_is_absent_is_as_one_that_is_empty() -> None:
    assert cache_key(STEP, {"base_model": []}, {}) == cache_key(STEP, {}, {})
    assert cache_key(STEP, {"base_model": [Model()]}, {}) != cache_key(STEP, {}, {})


def test_tfxs_launcher_asks_for_these_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_utils.get_cache_context
    with keys_by_content({}):
        assert launcher.cache_utils.get_cache_context is not before
    assert launcher.cache_utils.get_cache_context is before
