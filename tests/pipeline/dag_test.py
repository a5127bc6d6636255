"""The graph, before it runs anywhere."""

from __future__ import annotations

import dataclasses
import importlib
import json

import pytest
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler
from tfx.utils import dependency_utils

from components.config import (
    BeamConfig,
    CleaningConfig,
    IngestionConfig,
    TuningConfig,
    ValidationConfig,
)
from pipeline.config import PipelineConfig
from pipeline.dag import beam_arguments, create_pretraining_pipeline
from pipeline.provenance import Provenance
from pipeline.recipes import RECIPES
from pipeline.summary import COMPONENTS

PROVENANCE = Provenance(
    name="mine",
    recipe="bert_tiny",
    span=3,
    pattern="/texts/3.jsonl",
    corpus="c0ffee",
    config="feed",
    evaluation="e7a1",
    vocabulary="",
    code="git 0",
)


def graph(docker: bool = False, config: PipelineConfig | None = None) -> tfx.dsl.Pipeline:
    config = config or dataclasses.replace(RECIPES["bert_tiny"](), name="mine", runs="/runs")
    return create_pretraining_pipeline(config, PROVENANCE, docker=docker)


def tuning() -> PipelineConfig:
    tiny = RECIPES["bert_tiny"]()
    return dataclasses.replace(tiny, name="mine", runs="/runs", tuning=TuningConfig(4, 10))


def parameters(component: str) -> dict[str, object]:
    (node,) = [node for node in graph().components if node.id == component]
    return dict(node.exec_properties)


def test_the_summary_lists_the_graphs_components() -> None:
    tuned = graph(docker=True, config=tuning())
    assert {node.id for node in tuned.components} == set(COMPONENTS)
    assert {node.id for node in graph().components} == set(COMPONENTS) - {"InfraValidator", "Tuner"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_compiles(recipe: str) -> None:
    config = dataclasses.replace(RECIPES[recipe](), name="mine", runs="/runs")
    compiled = compiler.Compiler().compile(graph(config=config))
    assert len(compiled.nodes) == len(COMPONENTS) - 2


def upstream(component: str) -> set[str]:
    """Everything that must end well before a component starts."""
    nodes = {node.id: node for node in graph().components}
    found: set[str] = set()
    queue = [component]
    while queue:
        for earlier in nodes[queue.pop()].upstream_nodes:
            if earlier.id not in found:
                found.add(earlier.id)
                queue.append(earlier.id)
    return found


def test_nothing_is_learned_from_text_before_the_gate_let_it_pass() -> None:
    for component in ("VocabularyTrainer", "ExampleBuilder", "Trainer", "Evaluator", "Pusher"):
        assert {"DataGate", "TextCleaner"} <= set(upstream(component))


def test_nothing_is_trained_on_before_the_gate_of_examples_let_it_pass() -> None:
    assert "ExampleGate" in upstream("Trainer")
    (tuner,) = [node for node in graph(config=tuning()).components if node.id == "Tuner"]
    assert "ExampleGate" in {node.id for node in tuner.upstream_nodes}


def test_bounds_that_judge_a_span_are_given_to_the_gates_alone() -> None:
    strict = dataclasses.replace(
        RECIPES["bert_tiny"](),
        name="mine",
        runs="/runs",
        ingestion=IngestionConfig(eval_share=0.2, shards=2, max_quarantine_share=0.5),
        cleaning=CleaningConfig(duplicates=False, max_dropped_share=0.25),
        validation=ValidationConfig(
            max_quarantine_share=0.5, max_duplicate_share=1.0, max_length_drift=0.0
        ),
    )
    given = [
        {node.id: dict(node.exec_properties) for node in graph(config=config).components}
        for config in (None, strict)
    ]
    gates = {"DataGate", "ExampleGate"}
    for step in ("TextExampleGen", "TextSchema", "TextCleaner", "ExampleBuilder", *gates):
        assert (given[0][step] == given[1][step]) == (step not in gates), step


def test_nothing_is_pushed_before_both_gates() -> None:
    assert {"Evaluator", "ServingCheck"} <= upstream("Pusher")
    (pusher,) = [node for node in graph(docker=True).components if node.id == "Pusher"]
    assert pusher.inputs["infra_blessing"].producer_component_id == "InfraValidator"


def test_caches_see_text_code_and_configuration() -> None:
    given = parameters("TextExampleGen")
    assert (given["fingerprint"], given["code"], given["span"]) == ("c0ffee", "git 0", 3)
    assert parameters("TextSchema")["code"] == "git 0"
    assert parameters("ExampleBuilder")["code"] == "git 0"
    assert parameters("TextCleaner")["evaluation"] == "e7a1"
    custom = json.loads(str(parameters("Trainer")["custom_config"]))
    assert json.loads(custom["provenance"])["fingerprint"] == PROVENANCE.fingerprint
    assert custom["checkpoints"] == "/runs/mine/checkpoints"


def test_the_trainer_is_given_what_the_tuner_found() -> None:
    nodes = {node.id: node for node in graph(config=tuning()).components}
    tuner, trainer = nodes["Tuner"], nodes["Trainer"]
    found = trainer.inputs["hyperparameters"]
    assert (found.producer_component_id, found.output_key) == ("Tuner", "best_hyperparameters")
    for name in ("examples", "base_model"):
        assert tuner.inputs[name] == trainer.inputs[name]
    module, _, function = tuner.exec_properties["tuner_fn"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))
    given, trained = (
        json.loads(node.exec_properties["custom_config"]) for node in (tuner, trainer)
    )
    assert json.loads(given.pop("tuning")) == dataclasses.asdict(TuningConfig(4, 10)) | {
        "space": []
    }
    assert (given.pop("trials"), trained.pop("checkpoints")) == (
        "/runs/mine/trials",
        "/runs/mine/checkpoints",
    )
    assert given == trained
    compiler.Compiler().compile(graph(config=tuning()))


def test_without_trials_the_trainer_is_given_nothing() -> None:
    (trainer,) = [node for node in graph().components if node.id == "Trainer"]
    assert "hyperparameters" not in trainer.inputs


def test_models_are_pushed_by_name() -> None:
    destination = str(parameters("Pusher")["push_destination"])
    assert json.loads(destination)["filesystem"]["base_directory"] == "/runs/mine/serving/mine"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            BeamConfig(),
            [
                "--runner=DirectRunner",
                "--direct_running_mode=in_memory",
                "--direct_num_workers=1",
                "--sdk_container_image=none",
            ],
        ),
        (
            BeamConfig(workers=2),
            [
                "--runner=DirectRunner",
                "--direct_running_mode=multi_processing",
                "--direct_num_workers=2",
                "--sdk_container_image=none",
            ],
        ),
        (
            BeamConfig(runner="FlinkRunner", args=("--parallelism=4",)),
            ["--runner=FlinkRunner", "--parallelism=4"],
        ),
    ],
)
def test_beams_flags(config: BeamConfig, expected: list[str]) -> None:
    assert beam_arguments(config) == expected


def test_tfx_packs_no_copy_of_itself_for_workers_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It leaves each one, 52 MB, in the temporary folder.
    packed: list[str] = []
    monkeypatch.setattr(
        dependency_utils, "build_ephemeral_package", lambda: packed.append("a copy") or "tfx.tar.gz"
    )
    for workers in (1, 2):
        arguments = beam_arguments(BeamConfig(workers=workers))
        assert dependency_utils.make_beam_dependency_flags(arguments) == arguments
    assert not packed
