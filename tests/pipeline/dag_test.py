"""The whole graph: its components, their order, their Beam flags and their cache keys."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import pytest
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler, placeholder_utils
from tfx.orchestration.local import runner_utils
from tfx.utils import dependency_utils

from components import beam_flags
from components.config import BeamConfig
from models.errors import ConfigError
from models.settings import Affects
from pipeline.cache_keys import cache_key
from pipeline.dag import beam_arguments, create_pretraining_pipeline
from pipeline.overrides import apply_overrides
from pipeline.recipes import RECIPES
from pipeline.steps import COMPONENTS, LAST_STEPS, steps_until
from tests.pipeline.every_setting import OTHERS, another, leaves
from tests.pipeline.graphs import CODE, graph, tuning
from tests.pipeline.provenance import PROVENANCE


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
    """Every component that must succeed before a component starts."""
    nodes = {node.id: node for node in graph().components}
    found: set[str] = set()
    queue = [component]
    while queue:
        for earlier in nodes[queue.pop()].upstream_nodes:
            if earlier.id not in found:
                found.add(earlier.id)
                queue.append(earlier.id)
    return found


def test_steps_that_learn_wait_for_the_data_gate() -> None:
    for component in ("VocabularyTrainer", "ExampleBuilder", "Trainer", "Evaluator", "Pusher"):
        assert {"DataGate", "TextCleaner"} <= set(upstream(component))


def test_training_and_tuning_wait_for_the_example_gate() -> None:
    assert "ExampleGate" in upstream("Trainer")
    (tuner,) = [node for node in graph(config=tuning()).components if node.id == "Tuner"]
    assert "ExampleGate" in {node.id for node in tuner.upstream_nodes}


def test_a_partial_run_has_the_steps_that_its_last_step_needs() -> None:
    for until, last in LAST_STEPS.items():
        assert {last, *upstream(last)} == set(steps_until(until))


def test_pusher_waits_for_the_evaluation_and_the_serving_check() -> None:
    assert {"Evaluator", "ServingCheck"} <= upstream("Pusher")
    (pusher,) = [node for node in graph(docker=True).components if node.id == "Pusher"]
    assert pusher.inputs["infra_blessing"].producer_component_id == "InfraValidator"


STRICT = ("cleaning.quality=True", "cleaning.evaluation_texts=/a/texts.txt")
"""Settings that the other settings of cleaning need to have an effect."""


@functools.cache
def keys(*overrides: str) -> dict[str, str]:
    """The cache key of each node, without inputs, for a tiny recipe with some settings changed."""
    config = apply_overrides(tuning(), ["tuning.steps=10", *overrides])
    provenance = dataclasses.replace(PROVENANCE, config=config.fingerprint())
    made = create_pretraining_pipeline(config, provenance, ["/texts/03.jsonl"], CODE)
    return {
        node.id: cache_key([node.id], {}, dict(node.exec_properties)) for node in made.components
    }


def changed(*overrides: str, base: Sequence[str] = ()) -> set[str]:
    """The nodes whose cache keys `overrides` change in a configuration with the settings `base`."""
    before, after = keys(*base), keys(*base, *overrides)
    return {node for node in before if before[node] != after[node]}


TRAINED = {"Tuner", "Trainer"}
NEED_EVAL = ("training.eval_steps", "training.seeds", "tuning.trials")
"""With one of these, DataGate requires documents for evaluation during training."""


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("ingestion.lang=zh", {"TextExampleGen", *TRAINED}),
        ("cleaning.quality=True", {"TextCleaner", *TRAINED}),
        ("vocabulary.min_count=3", {"VocabularyTrainer", *TRAINED}),
        ("model.tokenizer.lowercase=False", {"VocabularyTrainer", *TRAINED}),
        ("model.objective.mask_prob=0.1", {"ExampleBuilder", "ExampleGate", *TRAINED}),
        ("examples.seed=1", {"ExampleBuilder", *TRAINED}),
        ("model.backbone.dropout=0.2", TRAINED),
        ("training.seed=1", TRAINED),
        ("training.checkpoint_seconds=7", set()),
        ("training.start=scratch", set()),  # the base model is an input
        ("training.window=3", set()),  # the older text is an input
        ("training.replay_share=0.5", {"ExampleBuilder", *TRAINED}),
        ("training.warm_start.max_epochs=5", TRAINED),
        ("devices.strategy=mirrored", set()),
        ("beam.workers=2", set()),
        ("beam.step_args=TextExampleGen:--a=${A},Evaluator:--b", set()),
        ("validation.min_documents=3", {"DataGate", "ExampleGate"}),
        ("validation.min_characters=3", {"TextCleaner", *TRAINED}),
        ("ingestion.max_quarantine_share=0.5", {"DataGate"}),
        ("cleaning.max_dropped_share=0.25", {"DataGate"}),
        ("evaluation.confidence=0.9", {"Evaluator"}),
        ("push_older=True", {"Pusher"}),
        ("model.objective.min_accuracy_over_unigram=0.5", {"Evaluator"}),
        ("model.objective.max_regression=0.5", {"Evaluator"}),
        ("vocabulary.file=/a/vocab.txt", set()),  # the fingerprint of its bytes is in the key
        ("cleaning.evaluation_texts=/a/texts.txt", set()),
    ],
)
def test_a_setting_is_in_the_keys_of_the_steps_whose_output_depends_on_it(
    override: str, expected: set[str]
) -> None:
    resolvers = {"LastBlessedModel", "TrainingStart", "TrainedEarlier"}  # they are never cached
    base = ["training.window=2"] if "replay" in override else []
    assert changed(override, base=base) - resolvers == expected


def test_every_setting_is_in_the_keys_of_the_steps_that_it_affects() -> None:
    """Every field: one that affects nothing is in no key, others are in the keys they affect."""
    config = tuning()
    skipped: set[str] = set()
    for path, affects in leaves(config):
        if path in ("model.family", "name", "recipe", "runs", "tuning.space"):
            continue  # another family is another pipeline; the name is the folder's
        pair = f"{path}={OTHERS.get(path) or another(config, path)}"
        try:
            found = changed(pair, base=() if path == "cleaning.quality" else STRICT)
        except ConfigError:
            skipped.add(path)  # the value contradicts other settings
            continue
        found -= {"LastBlessedModel", "TrainingStart", "TrainedEarlier"}
        if affects is Affects.NOTHING:
            assert not found, pair
        elif affects is Affects.JUDGEMENT:
            assert found <= {"DataGate", "ExampleGate", "Evaluator", "Pusher"}, pair
        elif affects is Affects.WEIGHTS:
            found -= {"DataGate"} if path in NEED_EVAL else set()
            assert found == (TRAINED if not path.startswith("tuning.") else found), pair
            assert "Trainer" in found, pair
        else:
            assert "Trainer" in found, pair
            assert found - TRAINED, pair
    assert skipped == {
        "devices.devices",  # needs another strategy
        "devices.processes",
        "devices.tpu",
        "ingestion.input",  # has an option of its own
        "model.objective.segmenter",  # needs masking of whole words
        "training.optimizer.initial_accumulator_value",  # needs Adagrad
        "training.optimizer.exclude_from_weight_decay",  # needs weight decay
        "training.patience",  # needs evaluation during training
        "training.replay_share",  # needs a window of several spans
    }


def test_paths_and_the_commit_are_in_no_key() -> None:
    config = dataclasses.replace(RECIPES["bert_tiny"](), name="mine", runs="/runs")
    elsewhere = dataclasses.replace(config, runs="/elsewhere")
    other = dataclasses.replace(
        PROVENANCE, pattern="/moved/{SPAN}.jsonl", label="3", commit="5d6e7f8"
    )
    first = create_pretraining_pipeline(config, PROVENANCE, ["/texts/03.jsonl"], CODE).components
    second = create_pretraining_pipeline(elsewhere, other, ["/moved/03.jsonl"], CODE).components
    for node, moved in zip(first, second, strict=True):
        assert cache_key([node.id], {}, dict(node.exec_properties)) == cache_key(
            [node.id], {}, dict(moved.exec_properties)
        ), node.id


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


def flags_of(graph: tfx.dsl.Pipeline) -> dict[str, list[str]]:
    """The flags that TFX passes to each step on Beam, with the current environment."""
    compiled = compiler.Compiler().compile(graph)
    deployment = runner_utils.extract_local_deployment_config(compiled)
    assert "hush" not in str(compiled)
    context = placeholder_utils.empty_placeholder_context()
    resolve = placeholder_utils.resolve_placeholder_expression
    return {
        node: [resolve(flag, context) for flag in flags]
        for node, spec in deployment.executor_specs.items()
        if (flags := spec.beam_executable_spec.beam_pipeline_args_placeholders)
    }


def test_flags_of_a_step_follow_the_flags_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "hush")
    tiny = dataclasses.replace(RECIPES["bert_tiny"](), name="mine", runs="/runs")
    plain = flags_of(graph())
    assert set(plain) == set(beam_flags.STEPS)
    changes = [
        "beam.args=--all,--both=<${WORD}>${WORD}",
        "beam.step_args=Evaluator:--num_workers=4,TextCleaner:--x=${WORD},Evaluator:--y",
    ]
    flags = flags_of(graph(config=apply_overrides(tiny, changes)))
    common = [*plain["TextExampleGen"], "--all", "--both=<hush>hush"]
    own = {"Evaluator": ["--num_workers=4", "--y"], "TextCleaner": ["--x=hush"]}
    assert flags == {step: [*common, *own.get(step, [])] for step in plain}
    assert flags_of(graph()) == plain  # the flags of another pipeline in this process are unchanged


def test_tfx_packs_no_copy_of_itself_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    # TFX leaves each copy, 52 MB, in the temporary folder.
    packed: list[str] = []
    monkeypatch.setattr(
        dependency_utils, "build_ephemeral_package", lambda: packed.append("") or ""
    )
    for workers in (1, 2):
        arguments = beam_arguments(BeamConfig(workers=workers))
        assert dependency_utils.make_beam_dependency_flags(arguments) == arguments
    assert not packed
