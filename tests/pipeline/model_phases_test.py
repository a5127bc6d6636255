"""The components that make a model: the configuration of training, and where models are pushed."""

from __future__ import annotations

import dataclasses
import importlib
import json

from tfx.dsl.compiler import compiler

from components.tuning_config import TuningConfig
from pipeline.code_versions import TRAINING
from pipeline.model_phases import RUN_FN, TUNER_FN
from tests.pipeline.graphs import graph, parameters, tuning
from tests.pipeline.provenance import PROVENANCE


def test_the_trainer_gets_the_provenance_and_the_folder_of_checkpoints() -> None:
    custom = json.loads(str(parameters("Trainer")["custom_config"]))
    assert custom["code"] == f"code of {TRAINING}"
    unkeyed = custom["unkeyed"]
    assert json.loads(unkeyed["provenance"])["fingerprint"] == PROVENANCE.fingerprint
    assert unkeyed["folder"] == "/runs/mine/checkpoints"


def test_the_trainer_gets_the_hyperparameters_of_the_tuner() -> None:
    nodes = {node.id: node for node in graph(config=tuning()).components}
    tuner, trainer = nodes["Tuner"], nodes["Trainer"]
    found = trainer.inputs["hyperparameters"]
    assert (found.producer_component_id, found.output_key) == ("Tuner", "best_hyperparameters")
    for name in ("examples", "base_model"):
        assert tuner.inputs[name] == trainer.inputs[name]
    assert tuner.exec_properties["tuner_fn"] == TUNER_FN
    tuner_config, trainer_config = (
        json.loads(node.exec_properties["custom_config"]) for node in (tuner, trainer)
    )
    assert json.loads(tuner_config.pop("tuning")) == dataclasses.asdict(TuningConfig(4, 10)) | {
        "space": []
    }
    assert (tuner_config["unkeyed"].pop("folder"), trainer_config["unkeyed"].pop("folder")) == (
        "/runs/mine/trials",
        "/runs/mine/checkpoints",
    )
    assert tuner_config == trainer_config
    compiler.Compiler().compile(graph(config=tuning()))


def test_without_trials_the_trainer_gets_no_hyperparameters() -> None:
    (trainer,) = [node for node in graph().components if node.id == "Trainer"]
    assert "hyperparameters" not in trainer.inputs


def test_models_are_pushed_to_a_folder_named_after_the_pipeline() -> None:
    destination = str(parameters("Pusher")["push_destination"])
    assert json.loads(destination)["filesystem"]["base_directory"] == "/runs/mine/serving/mine"


def test_the_functions_that_steps_import_by_name_exist() -> None:
    for name in (RUN_FN, TUNER_FN):
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))
