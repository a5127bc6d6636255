"""Settings of a training that starts from a model, free of TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pydantic

from models.settings import Affects, Settings


@dataclasses.dataclass(frozen=True)
class WarmStartConfig(Settings, place="training.warm_start", affects=Affects.WEIGHTS):
    """Limits of a training that starts from a model; see models/training/warm_start.py.

    At the whole rate it would first unlearn what that model knows, and with all its steps it would
    learn a small span by heart; docs/decisions/0035-what-a-warm-start-keeps.md has measurements.
    """

    learning_rate_factor: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.3
    """Its learning rates, as a share of the configured ones."""
    max_epochs: Annotated[float, pydantic.Field(ge=0.001)] = 3.0
    """Most passes over the examples; it has no more than `training.steps` either way."""
