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
    defaults = {"span": 3, "custom_config": json.dumps({"model": "m", "unkeyed": {"folder": "/a"}})}
    return cache_key(step, {"examples": [examples or artifact(7, "c0ffee")]}, defaults | parameters)


def test_inputs_code_and_parameters_change_the_key() -> None:
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


def test_paths_and_unkeyed_values_do_not_change_the_key() -> None:
    assert key() == key(examples=artifact(8, "c0ffee", "/elsewhere"))
    assert key(examples=artifact(7)) == key(examples=artifact(7, uri="/elsewhere"))
    assert key() == key(unkeyed='{"pattern": "/texts"}', push_destination="/served")
    assert key() == key(custom_config=json.dumps({"model": "m", "unkeyed": {"folder": "/b"}}))


def test_a_blessing_is_identified_by_its_verdict() -> None:
    def key_with_blessing(number: int, blessed: int) -> str:
        blessing = ModelBlessing()
        blessing.id = number
        blessing.set_int_custom_property("blessed", blessed)
        return cache_key(STEP, {"model": [artifact(7)], "model_blessing": [blessing]}, {})

    assert key_with_blessing(8, 1) == key_with_blessing(9, 1) != key_with_blessing(9, 0)


def test_an_absent_input_and_an_empty_one_give_the_same_key() -> None:
    assert cache_key(STEP, {"base_model": []}, {}) == cache_key(STEP, {}, {})
    assert cache_key(STEP, {"base_model": [Model()]}, {}) != cache_key(STEP, {}, {})


def test_tfxs_launcher_uses_these_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_utils.get_cache_context
    with keys_by_content({}):
        assert launcher.cache_utils.get_cache_context is not before
    assert launcher.cache_utils.get_cache_context is before
