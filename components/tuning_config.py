"""Configuration of the hyperparameter search, free of TFX and TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar, Literal

import pydantic

from models.errors import ConfigError
from models.settings import Affects, NonNegativeInt, PositiveInt, Settings

Value = bool | int | float | str
"""A value of a hyperparameter."""


@dataclasses.dataclass(frozen=True)
class Hyperparameter(Settings, place="tuning.space", affects=Affects.WEIGHTS):
    """A field that the Tuner varies, with the values it tries: either `values` or a range."""

    # NaN is refused by search_space.py, which knows the field's type.
    __pydantic_config__: ClassVar[pydantic.ConfigDict] = {
        **Settings.__pydantic_config__,
        "allow_inf_nan": True,
    }

    field: str
    """Dotted name of the field, such as `training.optimizer.learning_rate`;
    components/search_space.py says which fields can be tuned."""
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    """Both ends belong to the range."""
    log: bool = False
    """Draw from the range uniformly on a logarithmic scale."""

    def check(self) -> None:
        """Refuses anything that is neither values nor a range."""
        where = f"tuning.space, {self.field}"
        if bool(self.values) == (self.low is not None or self.high is not None):
            raise ConfigError(
                "a hyperparameter has either values or a range",
                where=where,
                remedy=f"write {self.field}:8/16/32 or {self.field}:8..32, for example",
            )
        if self.values:
            if len(set(self.values)) < len(self.values):
                raise ConfigError(f"{self.values} has a value twice", where=where)
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ConfigError(
                f"from {self.low} to {self.high} is not a range",
                where=where,
                remedy="give the lower end first, then a higher one",
            )
        if self.log and self.low <= 0:
            raise ConfigError(
                f"{self.low} has no logarithm",
                where=where,
                remedy="start the range above 0, or leave out log",
            )

    @classmethod
    def parse(cls, text: str) -> Hyperparameter:
        """Parses a hyperparameter from the command line, such as `training.batch_size:8/16/32`.

        Args:
            text: `field:value/value/…`, `field:low..high` or `field:low..high:log`.

        Raises:
            ConfigError: the text has none of these forms.
        """
        field, _, rest = text.strip().partition(":")
        values, colon, scale = rest.partition(":")
        low, dots, high = values.partition("..")
        try:
            if not field or not values or scale not in ("log", "") or bool(scale) != bool(colon):
                raise ValueError(text)
            if dots:
                return cls(field, low=float(low), high=float(high), log=bool(scale))
            if scale:
                raise ValueError(text)
        except ValueError:
            raise ConfigError(
                f"{text.strip()!r} is not a hyperparameter",
                where="tuning.space",
                remedy="write FIELD:VALUE/VALUE/…, FIELD:LOW..HIGH or FIELD:LOW..HIGH:log",
            ) from None
        return cls(field, tuple(map(_parse_value, values.split("/"))))


def _parse_value(text: str) -> Value:
    """A value from the command line: a number, True or False; anything else is a string."""
    try:
        value: Value = json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return text
    return value if isinstance(value, Value) else text


@dataclasses.dataclass(frozen=True)
class TuningConfig(Settings, place="tuning", affects=Affects.WEIGHTS):
    """The hyperparameter search before training; see components/tuning/component.py."""

    trials: NonNegativeInt = 0
    """Number of trials; 0 trains with the configuration as it is."""
    steps: PositiveInt | None = None
    """Optimizer steps of a trial; its warmup shrinks in proportion. None: a tenth of
    `training.steps`, and at least 20 if the training has as many."""
    algorithm: Literal["random", "bayesian", "grid"] = "random"
    """KerasTuner's algorithm. "bayesian" draws three random trials per hyperparameter, then follows
    a Gaussian process; "grid" tries the product of all values."""
    seed: NonNegativeInt = 0
    """Seed of the search; all trials are trained with `training.seed`."""
    space: tuple[Hyperparameter, ...] = ()
    """The hyperparameters. Empty: the learning rate, from a fifth of the configured value to five
    times as much, and the warmup, from 0 to a fifth of the steps."""

    def check(self) -> None:
        """Refuses settings without effect, and a search space that cannot be searched."""
        if not self.trials:
            for field in ("steps", "algorithm", "seed", "space"):
                if self.changed(field):
                    raise self.refused(
                        field,
                        "it has no effect without trials",
                        f"set tuning.trials, or leave tuning.{field} out",
                    )
        fields = [hyperparameter.field for hyperparameter in self.space]
        for field in fields:
            if fields.count(field) > 1:
                raise ConfigError(f"{field} is in the search space twice", where="tuning.space")
        if self.algorithm == "grid" and not all(each.values for each in self.space):
            raise ConfigError(
                "a grid search needs values, and a range has none",
                where="tuning.space",
                remedy="give values, as in training.batch_size:8/16/32",
            )
