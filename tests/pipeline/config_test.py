"""The configuration survives JSON, and its fingerprint depends on content alone."""

import dataclasses
import json
import os
import pathlib
import time

import pytest

from components.config import BeamConfig
from models.config import DevicesConfig
from models.errors import ConfigError
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.overrides import apply_overrides
from pipeline.recipes import RECIPES


def test_a_search_space_there_and_back() -> None:
    space = "tuning.space=model.backbone.dropout:0..0.3,training.batch_size:8/16"
    config = apply_overrides(RECIPES["bert_tiny"](), [space, "tuning.trials=3"])
    assert PipelineConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_json_there_and_back(name: str) -> None:
    config = RECIPES[name]()
    assert PipelineConfig.from_json(config.to_json()) == config


def test_an_unknown_field_is_named() -> None:
    fields = json.loads(RECIPES["bert_tiny"]().to_json())
    fields["training"]["stepps"] = 3
    with pytest.raises(ConfigError, match=r"training\.stepps"):
        PipelineConfig.from_json(json.dumps(fields))


def test_the_fingerprint_is_of_the_content() -> None:
    config = RECIPES["bert_tiny"]()
    elsewhere = dataclasses.replace(
        config,
        name="other",
        recipe="other",
        runs="/elsewhere",
        beam=BeamConfig(workers=2),
        devices=DevicesConfig(strategy="mirrored"),
        ingestion=dataclasses.replace(config.ingestion, input="other/place.txt"),
    )
    assert elsewhere.fingerprint() == config.fingerprint()
    for pair in (
        "training.seed=1",
        "ingestion.lang=zh",
        "model.backbone.layers=3",
        "tuning.trials=1",
    ):
        assert apply_overrides(config, [pair]).fingerprint() != config.fingerprint()


def test_the_folder_is_absolute(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert PipelineConfig(runs="runs", name="mine").folder == tmp_path / "runs/mine"


def test_without_a_name_the_pipeline_that_ran_last_is_meant(tmp_path: pathlib.Path) -> None:
    for age, name in enumerate(["new", "old"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        moment = time.time() - 1000 * age
        os.utime(tmp_path / name / "config.json", (moment, moment))
    assert pipeline_folder(str(tmp_path), None) == tmp_path / "new"
    assert pipeline_folder(str(tmp_path), "old") == tmp_path / "old"
