"""The graph, before it runs anywhere."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler
from tfx.utils import dependency_utils

from components.config import BeamConfig
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


def parameters(component: str) -> dict[str, object]:
    (node,) = [node for node in graph().components if node.id == component]
    return dict(node.exec_properties)


def test_the_summary_lists_the_graphs_components() -> None:
    assert {node.id for node in graph(docker=True).components} == set(COMPONENTS)
    assert {node.id for node in graph().components} == set(COMPONENTS) - {"InfraValidator"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_compiles(recipe: str) -> None:
    config = dataclasses.replace(RECIPES[recipe](), name="mine", runs="/runs")
    compiled = compiler.Compiler().compile(graph(config=config))
    assert len(compiled.nodes) == len(COMPONENTS) - 1


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
