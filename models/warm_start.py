"""How a training that starts from a model differs from one that starts from nothing."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated

import pydantic
from pydantic import PositiveFloat

from models.settings import Affects, Settings

if TYPE_CHECKING:
    from models.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class WarmStartConfig(Settings, place="training.warm_start", affects=Affects.WEIGHTS):
    """What is less in a training that starts from a model.

    At the whole rate it would first unlearn what that model knows, and with all its steps it would
    learn a small span by heart; docs/decisions/0035-what-a-warm-start-keeps.md has measurements.
    """

    learning_rate_share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.3
    """Its learning rates, as a share of the configured ones."""
    max_epochs: PositiveFloat = 3.0
    """Most passes over the examples; it has no more than `training.steps` either way."""


def warm(config: TrainingConfig, examples: int) -> TrainingConfig:
    """The configuration of a training that starts from a model.

    Its warmup is the configured one, but a tenth of its steps at most. Patience that fewer steps
    leave no room for is left out.

    Args:
        config: of one that starts from nothing.
        examples: how many there are to train on.
    """
    epochs, share = config.warm_start.max_epochs, config.warm_start.learning_rate_share
    steps = min(config.steps, max(1, math.ceil(epochs * examples / config.batch_size)))
    warmup = config.optimizer.resolved(config.steps).warmup_steps or 0
    patient = (config.patience + 1) * config.held_out_steps < steps
    return dataclasses.replace(
        config,
        steps=steps,
        patience=config.patience if patient else 0,
        optimizer=dataclasses.replace(
            config.optimizer,
            learning_rate=share * config.optimizer.learning_rate,
            final_learning_rate=share * config.optimizer.final_learning_rate,
            warmup_steps=min(warmup, steps // 10),
        ),
    )
