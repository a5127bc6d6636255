"""Settings of a training that starts from a model; imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pydantic

from models.settings import Affects, Settings


@dataclasses.dataclass(frozen=True)
class WarmStartConfig(Settings, place="training.warm_start", affects=Affects.WEIGHTS):
    """Limits of a training that starts from a model; see models/training/warm_start.py.

    With the full learning rate the training would first unlearn what the model knows, and with all
    its steps it would overfit a small span.
    docs/decisions/0035-what-a-warm-start-keeps.md has measurements.
    """

    learning_rate_factor: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.3
    """Factor of the configured learning rates."""
    max_epochs: Annotated[float, pydantic.Field(ge=0.001)] = 3.0
    """Maximum passes over the examples. `training.steps` is a limit, too."""
