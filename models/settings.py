"""The base of every configuration: a value is checked when it is set.

The bound on a number is a pydantic annotation of its field. A rule about several fields is in the
`check` of the smallest configuration that has them all. Both apply however a configuration is made:
by a recipe, by `dataclasses.replace`, by `--set`, or from JSON. Nothing here imports TensorFlow, so
a command refuses a bad setting before it loads anything.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import Annotated, Any, ClassVar

import pydantic

from models.errors import ConfigError

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
"""A share or a probability."""
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
"""A share that cannot be all: dropout, or a decay of averages."""


class Settings:
    """Base of the frozen dataclasses that configure something.

    A subclass gives the path of its fields in the whole configuration:
    `class OptimizerConfig(Settings, place="training.optimizer")`. Errors name a field by that path
    and its own name, as `--set` spells it.

    Raises:
        ConfigError: a value has the wrong type, is out of its bounds or is not finite, or two
            values do not go together.
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )
    place: ClassVar[str]

    def __init_subclass__(cls, *, place: str) -> None:
        cls.place = place

    def __post_init__(self) -> None:
        kind: Any = type(self)
        try:
            _fields(kind).model_validate(vars(self))
        except pydantic.ValidationError as error:
            raise refusal(kind, error) from error
        self.check()

    def check(self) -> None:
        """Checks what concerns more than one field; each field is within its own bounds.

        Raises:
            ConfigError: two values contradict each other, or one makes another ineffective.
        """

    def refused(self, field: str, what: str, remedy: str) -> ConfigError:
        """The error to raise for a field of this configuration.

        Args:
            field: its name.
            what: what is wrong with its value, a sentence.
            remedy: what to do about it, a sentence.
        """
        return ConfigError(what, where=spelled(type(self), field), remedy=remedy)

    def changed(self, field: str) -> bool:
        """Whether a field, which has a default, has another value than that."""
        (default,) = (
            each.default_factory() if callable(each.default_factory) else each.default
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
            if each.name == field
        )
        return bool(getattr(self, field) != default)


def refusal(kind: type, error: pydantic.ValidationError) -> ConfigError:
    """Pydantic's first complaint about a value of a dataclass, in the form of all errors.

    Args:
        kind: the dataclass.
        error: pydantic's.
    """
    first = error.errors(include_url=False)[0]
    # Behind the field `model`, whose class depends on the family, pydantic names the family too.
    before = [None, *first["loc"]]
    path = [
        str(step) for step, field in zip(first["loc"], before, strict=False) if field != "model"
    ]
    return ConfigError(f"{first['msg']}, got {first['input']!r:.80}", where=spelled(kind, *path))


def spelled(kind: type, *fields: str) -> str:
    """A field of a configuration as the command line spells it, `training.steps`.

    Args:
        kind: a subclass of `Settings`, or another dataclass, which is named by its class.
        fields: the field and those inside it; none is the configuration as a whole.
    """
    return ".".join(filter(None, [getattr(kind, "place", kind.__name__), *fields])) or "settings"


@functools.cache
def _fields(kind: Any) -> type[pydantic.BaseModel]:
    """Checks the values of a dataclass's fields, given as a dictionary."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], ...) for field in dataclasses.fields(kind)
    }
    return pydantic.create_model(kind.__name__, __config__=kind.__pydantic_config__, **fields)
