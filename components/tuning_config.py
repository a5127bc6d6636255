"""Configuration of the search for hyperparameters, free of TFX and TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar, Literal

import pydantic

from models.errors import ConfigError
from models.settings import Affects, NonNegativeInt, PositiveInt, Settings

Value = bool | int | float | str
"""What a hyperparameter may be."""


@dataclasses.dataclass(frozen=True)
class Hyperparameter(Settings, place="tuning.space", affects=Affects.WEIGHTS):
    """A field that the Tuner varies, and what it tries there: `values`, or a range."""

    # NaN is refused by search_space.py, which knows what the field can be.
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = {
        **Settings.__pydantic_config__,
        "allow_inf_nan": True,
    }

    field: str
    """The configuration's, `training.optimizer.learning_rate` say; components/search_space.py has
    those that can be tuned."""
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    """Both ends belong to the range."""
    log: bool = False
    """Draw the logarithm evenly, not the number: for what counts by factors."""

    def check(self) -> None:
        """Refuses what is neither values nor a range."""
        where = f"tuning.space, {self.field}"
        if bool(self.values) == (self.low is not None or self.high is not None):
            raise ConfigError(
                "a hyperparameter has either values or a range",
                where=where,
                remedy=f"write {self.field}:8/16/32 or {self.field}:8..32, say",
            )
        if self.values:
            if len(set(self.values)) < len(self.values):
                raise ConfigError(f"{self.values} has a value twice", where=where)
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(
                f"from {self.low} to {self.high} is no range",
                where=where,
                remedy="give the lower end, then a higher one",
            )
        if self.log and self.low <= 0:
            raise ConfigError(
                f"{self.low} has no logarithm", where=where, remedy="begin above 0, or without log"
            )

    @classmethod
    def parse(cls, text: str) -> Hyperparameter:
        """The hyperparameter that a command line means, `training.batch_size:8/16/32` say.

        Args:
            text: `field:value/value/…`, `field:low..high` or `field:low..high:log`.

        Raises:
            ConfigError: the text is none of them.
        """
        field, _, rest = text.strip().partition(":")
        span, colon, scale = rest.partition(":")
        low, dots, high = span.partition("..")
        try:
            if not field or not span or scale not in ("log", "") or bool(scale) != bool(colon):
                raise ValueError(text)
            if dots:
                return cls(field, low=float(low), high=float(high), log=bool(scale))
            if scale:
                raise ValueError(text)
        except ValueError:
            raise ConfigError(
                f"{text.strip()!r} is no hyperparameter",
                where="tuning.space",
                remedy="write FIELD:VALUE/VALUE/…, FIELD:LOW..HIGH or FIELD:LOW..HIGH:log",
            ) from None
        return cls(field, tuple(map(_literal, span.split("/"))))


def _literal(text: str) -> Value:
    """A value as a command line has it: a number, True or False, else a text."""
    try:
        value: Value = json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return text
    return value if isinstance(value, Value) else text


@dataclasses.dataclass(frozen=True)
class TuningConfig(Settings, place="tuning", affects=Affects.WEIGHTS):
    """How hyperparameters are searched before the training; see components/tuning/component.py."""

    trials: NonNegativeInt = 0
    """Candidates that are tried; 0 trains with the configuration as it is."""
    steps: PositiveInt | None = None
    """Optimizer steps of a trial; warmup shrinks with them. None: a tenth of `training.steps`, but
    20 of them at least if there are so many."""
    algorithm: Literal["random", "bayesian", "grid"] = "random"
    """KerasTuner's. "bayesian" draws three trials for each hyperparameter, then follows a Gaussian
    process; "grid" takes the product of all values."""
    seed: NonNegativeInt = 0
    """Of what is drawn; the trials themselves have `training.seed`, each the same."""
    space: tuple[Hyperparameter, ...] = ()
    """What is varied. Empty: the learning rate, from a fifth of the configured one to five times
    it, and the warmup, from nothing to a fifth of the steps."""

    def check(self) -> None:
        """Refuses a search that cannot be, and settings of a search that is not to be."""
        if not self.trials:
            for field in ("steps", "algorithm", "seed", "space"):
                if self.changed(field):
                    raise self.refused(
                        field,
                        "it has no effect, as no candidate is tried",
                        f"set tuning.trials, or leave tuning.{field} out",
                    )
        fields = [hyperparameter.field for hyperparameter in self.space]
        for field in fields:
            if fields.count(field) > 1:
                raise ConfigError(f"{field} stands there twice", where="tuning.space")
        if self.algorithm == "grid" and not all(each.values for each in self.space):
            raise ConfigError(
                "a grid has points, and a range has none",
                where="tuning.space",
                remedy="give values, as in training.batch_size:8/16/32",
            )
