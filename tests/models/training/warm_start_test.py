"""Tests of the shorter training that starts from a model."""

from __future__ import annotations

import dataclasses

from models.training.config import OptimizerConfig, TrainingConfig
from models.training.warm_start import adapt_to_warm_start
from models.training.warm_start_config import WarmStartConfig

COLD = TrainingConfig(
    steps=1_000,
    batch_size=10,
    optimizer=OptimizerConfig(learning_rate=0.01, final_learning_rate=0.001, warmup_steps=50),
    warm_start=WarmStartConfig(learning_rate_factor=0.5, max_epochs=4.0),
)


def test_with_much_text_only_the_rates_are_lower() -> None:
    config = adapt_to_warm_start(COLD, examples=1_000_000)
    assert config.steps == 1_000
    assert config.optimizer.learning_rate == 0.005
    assert config.optimizer.final_learning_rate == 0.0005
    assert config.optimizer.warmup_steps == 50


def test_with_little_text_there_are_fewer_steps() -> None:
    config = adapt_to_warm_start(COLD, examples=201)
    assert config.steps == 81  # 4 · 201 / 10, rounded up
    assert config.optimizer.warmup_steps == 4  # 50 · 81 / 1,000
    assert adapt_to_warm_start(COLD, examples=1).steps == 1


def test_default_warmup_is_a_tenth_of_the_steps() -> None:
    optimizer = dataclasses.replace(COLD.optimizer, warmup_steps=None)
    cold = dataclasses.replace(COLD, optimizer=optimizer)
    assert adapt_to_warm_start(cold, examples=1_000_000).optimizer.warmup_steps == 100
    assert adapt_to_warm_start(cold, examples=200).optimizer.warmup_steps == 8


def test_patience_is_turned_off_if_the_steps_leave_no_room_for_it() -> None:
    cold = dataclasses.replace(COLD, eval_steps=20, patience=3)
    assert adapt_to_warm_start(cold, examples=1_000_000).patience == 3
    # 81 steps have evaluations at 20, 40, 60 and 80.
    assert adapt_to_warm_start(cold, examples=201).patience == 3
    assert adapt_to_warm_start(cold, examples=200).patience == 0
