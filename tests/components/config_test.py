"""Tests of what the settings of the steps refuse when they are created."""

from typing import Any

import pytest

from components.config import (
    BeamConfig,
    CleaningConfig,
    ExamplesConfig,
    IngestionConfig,
    ValidationConfig,
    VocabularyConfig,
)
from models.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        (IngestionConfig, {"test_share": 0.0}, "ingestion.test_share"),
        (IngestionConfig, {"test_share": 0.5, "eval_share": 0.5}, "ingestion.eval_share"),
        (IngestionConfig, {"eval_share": 1.0}, "ingestion.eval_share"),
        (IngestionConfig, {"shards": 0}, "ingestion.shards"),
        (IngestionConfig, {"held_out_shards": 0}, "ingestion.held_out_shards"),
        (IngestionConfig, {"max_quarantine_share": 1.1}, "ingestion.max_quarantine_share"),
        (ValidationConfig, {"max_length_drift": -0.1}, "validation.max_length_drift"),
        (CleaningConfig, {"near_duplicate_similarity": 1.0}, "cleaning.near_duplicate_similarity"),
        (CleaningConfig, {"evaluation_words": 0}, "cleaning.evaluation_words"),
        (
            CleaningConfig,
            {"evaluation_words": 8},
            "cleaning.evaluation_words",
        ),  # without evaluation_texts
        (CleaningConfig, {"max_evaluation_share": 0.1}, "cleaning.max_evaluation_share"),
        (CleaningConfig, {"min_words": 20}, "cleaning.min_words"),  # without quality
        (CleaningConfig, {"quality": True, "max_words": 20}, "cleaning.min_words"),
        (
            CleaningConfig,
            {"quality": True, "min_alphabetic_words": 2},
            "cleaning.min_alphabetic_words",
        ),
        (VocabularyConfig, {"min_count": 0}, "vocabulary.min_count"),
        (ExamplesConfig, {"seed": -1}, "examples.seed"),
        (BeamConfig, {"workers": 0}, "beam.workers"),
        (BeamConfig, {"workers": 2, "runner": "FlinkRunner"}, "beam.workers"),
        (BeamConfig, {"runner": "os.path"}, "beam.runner"),
        (BeamConfig, {"args": ("--runner=mine.Runner",)}, "beam.runner"),
        (BeamConfig, {"args": ("--password=hush",)}, "beam.args"),
        (BeamConfig, {"step_args": ("Trainer:--a=1",)}, "beam.step_args"),
        (BeamConfig, {"step_args": ("Evaluator",)}, "beam.step_args"),
        (BeamConfig, {"step_args": ("Evaluator:--runner=mine.Runner",)}, "beam.runner"),
        (BeamConfig, {"step_args": ("Evaluator:--s3_session_token=hush",)}, "beam.step_args"),
    ],
)
def test_invalid_settings_and_settings_without_effect_are_refused(
    kind: type, fields: dict[str, Any], where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**fields)
    assert caught.value.where == where


def test_dependent_settings_are_accepted_with_their_switch() -> None:
    assert CleaningConfig(quality=True, min_words=20).min_words == 20
    assert CleaningConfig(evaluation_texts=("a.txt",), evaluation_words=8).evaluation_words == 8


def test_a_secret_in_a_flag_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="seems to hold a secret") as caught:
        BeamConfig(args=("--s3_secret_access_key=hush",))
    assert caught.value.remedy is not None
    assert "'--s3_secret_access_key=${NAME}'" in caught.value.remedy
    assert "hush" not in str(caught.value)


def test_an_unknown_step_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ConfigError, match="'Trainer:--a' is not a flag of a step") as caught:
        BeamConfig(step_args=("Trainer:--a=hush",))
    assert "TextExampleGen, StatisticsGen, TextCleaner" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_variables_that_flags_name_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "")
    monkeypatch.delenv("UNSET", raising=False)
    BeamConfig(args=("--token=${SET}",)).check_environment()
    with pytest.raises(ConfigError, match="not set: UNSET") as caught:
        BeamConfig(step_args=("Evaluator:--token=${UNSET}",)).check_environment()
    assert caught.value.where == "beam.step_args"
