"""TFX's Evaluator compares a model only with a served model of the same vocabulary."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from tfx.components.evaluator import executor as tfx_executor
from tfx.types import standard_artifacts

from components.evaluation.component import Executor


def write_tokenizer(folder: pathlib.Path, words: str) -> None:
    folder.mkdir(parents=True)
    (folder / "words.txt").write_text(words)


@pytest.mark.parametrize("compared", [True, False])
def test_the_evaluator_compares_only_models_with_the_same_vocabulary(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compared: bool
) -> None:
    inputs_of_tfx: list[dict[str, Any]] = []
    monkeypatch.setattr(
        tfx_executor.Executor, "Do", lambda self, inputs, *_: inputs_of_tfx.append(inputs)
    )
    served, examples = standard_artifacts.Model(), standard_artifacts.Examples()
    served.uri, examples.uri = str(tmp_path / "model"), str(tmp_path / "examples")
    write_tokenizer(tmp_path / "model/Format-Serving/assets.extra/tokenizer", "river")
    write_tokenizer(tmp_path / "examples/tokenizer", "river" if compared else "bank")
    inputs = {"examples": [examples], "model": [served], "baseline_model": [served]}
    Executor().Do(inputs, {}, {})
    assert set(inputs_of_tfx[0]) == set(inputs) - (set() if compared else {"baseline_model"})
    Executor().Do({"examples": [examples], "model": [served]}, {}, {})
    assert set(inputs_of_tfx[1]) == {"examples", "model"}
