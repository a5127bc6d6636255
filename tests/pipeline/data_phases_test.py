"""The components that prepare data: their order, their parameters, and what they wait for."""

from __future__ import annotations

import dataclasses
import json

from models.settings import Affects
from pipeline.data_phases import (
    RunInputs,
    clean,
    find_earlier_models,
    ingest,
    make_examples,
    settings_json,
)
from pipeline.recipes import RECIPES
from tests.pipeline.graphs import CODE, parameters
from tests.pipeline.provenance import PROVENANCE

CONFIG = dataclasses.replace(RECIPES["bert_tiny"](), name="mine", runs="/runs")
RUN = RunInputs(CONFIG, PROVENANCE, ["/texts/03.jsonl"], CODE, docker=False)


def test_each_phase_has_its_components_in_order() -> None:
    ingestion = ingest(RUN)
    cleaning = clean(RUN, ingestion)
    earlier = find_earlier_models(RUN)
    made = make_examples(RUN, cleaning, earlier)
    assert [node.id for node in ingestion.components] == [
        "TextExampleGen",
        "StatisticsGen",
        "TextSchema",
        "ExampleValidator",
    ]
    assert [node.id for node in cleaning.components] == [
        "LastApprovedStatistics",
        "TrainedEarlier",
        "TextCleaner",
        "DataGate",
    ]
    assert [node.id for node in earlier.components] == ["LastBlessedModel", "TrainingStart"]
    assert [node.id for node in made.components] == [
        "VocabularyTrainer",
        "ExampleBuilder",
        "LastApprovedExamples",
        "ExampleGate",
    ]


def test_steps_that_learn_wait_for_the_gate_and_read_cleaned_documents() -> None:
    cleaning = clean(RUN, ingest(RUN))
    made = make_examples(RUN, cleaning, find_earlier_models(RUN))
    vocabulary_trainer, example_builder, *_ = made.components
    assert cleaning.gate in vocabulary_trainer.upstream_nodes
    assert cleaning.gate in example_builder.upstream_nodes
    assert example_builder.inputs["documents"].producer_component_id == "TextCleaner"


def test_settings_json_has_the_settings_that_affect_the_given_kinds() -> None:
    assert "checkpoint_seconds" in json.loads(settings_json(CONFIG.training))
    assert "checkpoint_seconds" not in json.loads(settings_json(CONFIG.training, Affects.WEIGHTS))


def test_ingestion_has_the_files_and_the_label_of_the_span() -> None:
    unkeyed = json.loads(str(parameters("TextExampleGen")["unkeyed"]))
    assert (unkeyed["pattern"], unkeyed["label"]) == ("/texts/{SPAN}.jsonl", "03")
    assert unkeyed["files"] == ["/texts/03.jsonl"]


def test_fingerprints_are_parameters_of_the_steps_that_read_the_text() -> None:
    assert parameters("TextExampleGen")["fingerprint"] == "c0ffee"
    assert parameters("TextCleaner")["evaluation"] == "e7a1"
