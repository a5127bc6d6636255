"""The base class of all configurations, which checks every value when it is set.

The bounds of a number are a pydantic annotation of its field. A rule about several fields is in the
method `check` of the smallest configuration that has all of them. Both apply however a
configuration is made: by a recipe, by `dataclasses.replace`, by `--set`, or from JSON. Nothing here
imports TensorFlow, so a command rejects a bad setting before it loads anything.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic

from models.allowed_values import allowed_at, families_at, nearest_field
from models.errors import ConfigError

T = TypeVar("T")

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
"""A share or a probability."""
PositiveInt = Annotated[int, pydantic.Field(gt=0, le=2**31 - 1)]
"""A whole number above 0 of at most 31 bits, the limit of most of TensorFlow's integers."""
NonNegativeInt = Annotated[int, pydantic.Field(ge=0, le=2**31 - 1)]
"""A whole number of 0 or more, of at most 31 bits."""
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
"""A share below 1, such as a dropout rate or the decay of a moving average."""


class Affects(enum.Enum):
    """What a setting affects. The cache key of a step holds the settings that affect its output.

    A class of settings declares it for all its fields. A field may override it in its annotation:
    `log_steps: Annotated[PositiveInt, Affects.NOTHING] = 20`.
    """

    EXAMPLES = "examples"
    """The documents, the vocabulary or the examples, and therefore the weights too."""
    WEIGHTS = "weights"
    """The weights, or other parts of the exported model."""
    JUDGEMENT = "judgement"
    """Only the decision whether text or a model is good enough."""
    NOTHING = "nothing"
    """No result: places, devices and logging. Also paths of files, because cache keys hold the
    fingerprints of their bytes."""


class Settings:
    """Base of the frozen dataclasses that configure something.

    A subclass declares its dotted name in the whole configuration and what its fields affect:
    `class OptimizerConfig(Settings, place="training.optimizer", affects=Affects.WEIGHTS)`. Errors
    name a field by its full dotted name, as in `--set`.

    Raises:
        ConfigError: a value has the wrong type, is out of bounds or is not finite, or two values
            contradict each other.
    """

    __pydantic_config__: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False
    )
    place: ClassVar[str]
    affects: ClassVar[Affects]

    def __init_subclass__(cls, *, place: str, affects: Affects) -> None:
        cls.place = place
        cls.affects = affects

    def __post_init__(self) -> None:
        kind: Any = type(self)
        try:
            _fields(kind).model_validate(vars(self))
        except pydantic.ValidationError as error:
            raise refusal(kind, error) from error
        self.check()

    def check(self) -> None:
        """Checks rules about several fields, each of which is within its own bounds.

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
        return ConfigError(what, where=dotted_name(type(self), field), remedy=remedy)

    def that_affect(self, *kinds: Affects) -> dict[str, Any]:
        """The fields that affect one of `kinds`, and their values; nested settings as dictionaries.

        Read by `from_json`, the result has the default values in all other fields.
        """
        chosen: dict[str, Any] = {}
        kind: Any = type(self)  # mypy takes the class of a frozen dataclass for unhashable
        for name, affects in effects(kind):
            value = getattr(self, name)
            if isinstance(value, Settings):
                if nested := value.that_affect(*kinds):
                    chosen[name] = nested
            elif affects in kinds:
                chosen[name] = _plain(value)
        return chosen

    def changed(self, field: str) -> bool:
        """Whether the value of a field differs from its default. The field must have one."""
        (default,) = (
            each.default_factory() if callable(each.default_factory) else each.default
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
            if each.name == field
        )
        return bool(getattr(self, field) != default)


@functools.cache  # resolving annotations takes long, and every `that_affect` needs them
def effects(kind: type[Settings]) -> Sequence[tuple[str, Affects]]:
    """Each field of a class of settings, and what it affects; nested settings as a whole."""
    found = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        notes = getattr(hints[field.name], "__metadata__", ())
        own = (note for note in notes if isinstance(note, Affects))
        found.append((field.name, next(own, kind.affects)))
    return found


def _plain(value: Any) -> Any:
    """The value of a field, converted as `dataclasses.asdict` does."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


def refusal(kind: type, error: pydantic.ValidationError) -> ConfigError:
    """Turns pydantic's first error about a value of a dataclass into a `ConfigError`.

    Args:
        kind: the dataclass.
        error: pydantic's error.
    """
    first = error.errors(include_url=False)[0]
    # After the field `model`, whose class depends on the family, pydantic names the family too.
    before = [None, *first["loc"]]
    path = [
        str(step) for step, field in zip(first["loc"], before, strict=False) if field != "model"
    ]
    what, remedy = f"{first['msg']}, got {first['input']!r:.80}", allowed_at(kind, first["loc"])
    if first["type"] == "unexpected_keyword_argument":
        remedy = nearest_field(kind, first["loc"])
    elif first["type"].startswith("union_tag"):
        path.append("family")
        what = f"there is no family {first['ctx'].get('tag', '')!r:.80}"
        remedy = f"give {families_at(kind, first['loc'])}"
    elif first["type"] == "json_invalid":
        remedy = "write an object in JSON"
    elif remedy:
        remedy = f"give {remedy}"
    return ConfigError(what, where=dotted_name(kind, *path), remedy=remedy or None)


def dotted_name(kind: type, *fields: str) -> str:
    """The dotted name of a field, as on the command line: `training.steps`.

    Args:
        kind: a subclass of `Settings`, or another dataclass, whose class name is used.
        fields: the field and nested fields; without any, the configuration as a whole.
    """
    return ".".join(filter(None, [getattr(kind, "place", kind.__name__), *fields])) or "settings"


@functools.cache
def _fields(kind: Any) -> type[pydantic.BaseModel]:
    """The pydantic model that checks a dictionary of a dataclass's fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], ...) for field in dataclasses.fields(kind)
    }
    return pydantic.create_model(kind.__name__, __config__=kind.__pydantic_config__, **fields)


def from_json(kind: type[T], text: str | bytes) -> T:
    """Reads a dataclass, with nested dataclasses, from a JSON object and checks its types.

    Raises:
        ConfigError: a value is wrong; names the field, the value and what was expected.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        raise refusal(kind, error) from error
