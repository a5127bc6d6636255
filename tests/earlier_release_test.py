"""Pipelines of an earlier release: commands read a config.json whose settings had other names.

A run of `bert_tiny` with two trials wrote the file in tests/testdata/earlier_release.
"""

from __future__ import annotations

import json
import pathlib

import pytest

from components.tuning_config import Hyperparameter
from models.bert.config import BertConfig
from models.renamed_settings import RENAMED
from pipeline.cli.config_file import read_config
from pipeline.cli.main import main
from pipeline.config import PipelineConfig, pipeline_folder
from tests.testdata.recorded_runs import Recorder

CONFIG = pathlib.Path(__file__).parent / "testdata/earlier_release/config.json"
RUN = "20260501-173000.000000"


def fields_of(config: dict[str, object], prefix: str = "") -> set[str]:
    """The dotted names of all fields."""
    names = set()
    for name, value in config.items():
        names |= {prefix + name}
        names |= fields_of(value, f"{prefix}{name}.") if isinstance(value, dict) else set()
    return names


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The pipeline's folder `runs/mine`, with one run that trained and pushed a version."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "news-1.jsonl").write_text('{"text": "Words."}\n')
    (tmp_path / "news-2.jsonl").write_text('{"text": "Words."}\n')
    folder = tmp_path / "runs" / "mine"
    recorder = Recorder(folder)
    (folder / "config.json").write_bytes(CONFIG.read_bytes())
    documents, cleaned, examples = (recorder.artifact("Examples", span=1) for _ in range(3))
    vocabulary = recorder.artifact("PolysemeVocabulary", size=159)
    model, model_run = recorder.artifact("Model"), recorder.artifact("ModelRun")
    version = folder / "serving" / "mine" / "17"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()
    pushed = recorder.artifact(
        "PushedModel", pushed=1, pushed_version="17", pushed_destination=str(version)
    )
    recorder.execution(
        RUN,
        "TextExampleGen",
        parameters={"span": 1, "fingerprint": "c0ffee"},
        outputs={"examples": documents},
    )
    recorder.execution(
        RUN, "TextCleaner", inputs={"documents": documents}, outputs={"cleaned": cleaned}
    )
    recorder.execution(
        RUN,
        "ExampleBuilder",
        inputs={"documents": cleaned, "vocabulary": vocabulary},
        outputs={"examples": examples},
    )
    recorder.execution(
        RUN,
        "Trainer",
        parameters={"custom_config": custom_config()},
        inputs={"examples": examples},
        outputs={"model": model, "model_run": model_run},
    )
    recorder.execution(RUN, "Pusher", inputs={"model": model}, outputs={"pushed_model": pushed})
    return folder


def custom_config() -> str:
    """What the Trainer of an earlier release was configured from, with its names of settings."""
    config = json.loads(CONFIG.read_bytes())
    provenance = {
        "recipe": "bert_tiny",
        "code": "c0de",
        "commit": "3d53f904b60a",
        "fingerprint": "feed",
        "pattern": "news-{SPAN}.jsonl",
    }
    return json.dumps(
        {
            "model": json.dumps(config["model"]),
            "training": json.dumps(config["training"]),
            "config": json.dumps({name: config[name] for name in ("model", "training")}),
            "unkeyed": {"provenance": json.dumps(provenance)},
        }
    )


def test_the_file_has_the_earlier_names_of_bert_and_of_training() -> None:
    fields_of_other_families = {
        "model.backbone.character_width",
        "model.backbone.highways",
        "model.backbone.projection",
        "model.objective.candidates",
        "model.objective.streams",
        "model.objective.unroll",
    }
    assert set(RENAMED) - fields_of_other_families <= fields_of(json.loads(CONFIG.read_bytes()))


def test_settings_are_read_under_their_current_names(folder: pathlib.Path) -> None:
    assert pipeline_folder("runs", "mine") == folder
    config = PipelineConfig.read(folder)
    model = config.model
    assert isinstance(model, BertConfig)
    assert (model.backbone.hidden_size, model.backbone.intermediate_size) == (32, 64)
    assert (model.backbone.num_layers, model.backbone.num_heads) == (2, 2)
    assert (model.objective.mask_prob, model.objective.short_seq_prob) == (0.15, 0.1)
    assert model.objective.max_predictions_per_seq == 10
    assert config.training.gradient_accumulation_steps == 1
    assert (config.training.steps, config.training.eval_batches) == (30, 50)
    assert config.training.optimizer.schedule == "linear"
    assert config.training.warm_start.learning_rate_factor == 0.3
    assert config.devices.steps_per_execution == 1
    assert config.tuning.space == (
        Hyperparameter("training.optimizer.layerwise_lr_decay", (0.5, 1.0)),
    )
    assert read_config(str(folder / "config.json")) == config
    assert PipelineConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (["status"], "served       version 17"),
        (["status", "--json"], '"served": "17"'),
        (["spans"], "next: 2"),
        (["lineage"], "recipe  bert_tiny, fingerprint feed"),
        (["lineage", "17", "--json"], '"commit": "3d53f904b60a"'),
        (["prune", "--dry-run"], "versions kept: 17"),
        (["report"], "runs/mine/report.html"),
    ],
)
def test_commands_read_the_pipeline(
    command: list[str],
    printed: str,
    folder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command, "--name", "mine", "--runs", "runs"]) == 0
    assert printed in capsys.readouterr().out


def test_the_comparison_shows_the_run(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "mine", "mine", "--runs", "runs"]) == 0
    page = pathlib.Path(capsys.readouterr().out.strip())
    assert page == folder.parent / "comparison.html"
    assert page.read_text(encoding="utf-8").count("Metrics of mine, span 1") == 2


def test_the_report_shows_the_run(folder: pathlib.Path) -> None:
    assert main(["report", "--runs", "runs"]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "c0ffee" in page
    assert "3d53f904b60a" in page


def test_a_setting_of_an_earlier_name_is_refused_with_its_new_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["run", "bert_tiny", "--input", "x.jsonl", "--set", "training.accumulation=2"]
    assert main(command) == 2
    assert "write --set training.gradient_accumulation_steps=2" in capsys.readouterr().err
