"""How a training that starts from a model differs from one that starts from nothing."""

from __future__ import annotations

import dataclasses
import math

from models.training.config import TrainingConfig


def warm(config: TrainingConfig, examples: int) -> TrainingConfig:
    """The configuration of a training that starts from a model.

    Warmup shrinks in proportion to the steps. Patience that fewer steps leave no room for is left
    out.

    Args:
        config: of one that starts from nothing.
        examples: how many there are to train on.
    """
    epochs, share = config.warm_start.max_epochs, config.warm_start.learning_rate_factor
    steps = min(config.steps, max(1, math.ceil(epochs * examples / config.batch_size)))
    warmup = config.optimizer.resolved(config.steps).warmup_steps or 0
    patient = (config.patience + 1) * config.eval_steps < steps
    return dataclasses.replace(
        config,
        steps=steps,
        patience=config.patience if patient else 0,
        optimizer=dataclasses.replace(
            config.optimizer,
            learning_rate=share * config.optimizer.learning_rate,
            final_learning_rate=share * config.optimizer.final_learning_rate,
            warmup_steps=warmup * steps // config.steps,
        ),
    )
