"""The options of `run`: the configuration they result in, and combinations that are refused."""

import dataclasses
import pathlib

import pytest

from models.errors import ConfigError
from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.recipes import resolve_recipe
from pipeline.run import Outcome


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[PipelineConfig]:
    """The configurations of the runs that were started; the runs themselves do nothing."""
    started: list[PipelineConfig] = []

    def run(config: PipelineConfig, *_: object, **__: object) -> Outcome:
        started.append(config)
        return Outcome(None, ConfigError("not run"), pathlib.Path("log"), None)

    monkeypatch.setattr("pipeline.run.run_pipeline", run)
    return started


def test_options_take_precedence_over_a_configuration_file(
    tmp_path: pathlib.Path, ran: list[PipelineConfig]
) -> None:
    config = dataclasses.replace(
        resolve_recipe("bert_tiny"),
        name="mine",
        runs="elsewhere",
        ingestion=dataclasses.replace(resolve_recipe("bert_tiny").ingestion, input="a.jsonl"),
    )
    file = tmp_path / "config.json"
    file.write_text(config.to_json(), encoding="utf-8")
    main(["run", "--config", str(file)])
    main(["run", "--config", str(file), "--input", "b.jsonl", "--set", "training.steps=7"])
    main(["run", "--config", str(file), "--name", "other", "--runs", "here"])
    assert ran[0] == config
    assert (ran[1].ingestion.input, ran[1].training.steps, ran[1].name) == ("b.jsonl", 7, "mine")
    assert (ran[2].name, ran[2].runs, ran[2].recipe) == ("other", "here", "bert_tiny")


def test_a_recipe_has_its_name_and_the_default_folder(ran: list[PipelineConfig]) -> None:
    main(["run", "bert_tiny", "--input", "a.jsonl"])
    assert (ran[0].name, ran[0].recipe, ran[0].runs) == ("bert_tiny", "bert_tiny", "runs")


@pytest.mark.parametrize("arguments", [["bert_tiny", "--config", "a.json"], []])
def test_a_run_with_no_configuration_or_two_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments, "--input", "x.jsonl"]) == 2
    assert "a run takes a recipe or a configuration" in capsys.readouterr().err


def test_several_machines_without_tf_config_are_refused_before_any_step(
    ran: list[PipelineConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["run", "bert_tiny", "--input", "x.jsonl", "--set", "devices.strategy=multi_worker"]
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert main(command) == 2
    assert "  where: devices.strategy" in capsys.readouterr().err.splitlines()
    assert ran == []
    main([*command, "--set", "devices.processes=2"])
    monkeypatch.setenv("TF_CONFIG", "{}")
    main(command)
    assert len(ran) == 2
