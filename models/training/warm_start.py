"""Shortens a training that starts from a model instead of from scratch."""

from __future__ import annotations

import dataclasses
import math

from models.training.config import TrainingConfig


def adapt_to_warm_start(config: TrainingConfig, examples: int) -> TrainingConfig:
    """The configuration of a training that starts from a model.

    It has fewer steps and lower learning rates, as `config.warm_start` says. Warmup shrinks in
    proportion to the steps. Early stopping is turned off if the steps leave no room for it.

    Args:
        config: the configuration of a training from scratch.
        examples: number of training examples.
    """
    epochs, factor = config.warm_start.max_epochs, config.warm_start.learning_rate_factor
    steps = min(config.steps, max(1, math.ceil(epochs * examples / config.batch_size)))
    warmup_steps = config.optimizer.resolved(config.steps).warmup_steps or 0
    can_stop_early = (config.patience + 1) * config.eval_steps < steps
    return dataclasses.replace(
        config,
        steps=steps,
        patience=config.patience if can_stop_early else 0,
        optimizer=dataclasses.replace(
            config.optimizer,
            learning_rate=factor * config.optimizer.learning_rate,
            final_learning_rate=factor * config.optimizer.final_learning_rate,
            warmup_steps=warmup_steps * steps // config.steps,
        ),
    )
