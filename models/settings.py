"""The base of every configuration: a value is checked when it is set.

The bound on a number is a pydantic annotation of its field. A rule about several fields is in the
`check` of the smallest configuration that has them all. Both apply however a configuration is made:
by a recipe, by `dataclasses.replace`, by `--set`, or from JSON. Nothing here imports TensorFlow, so
a command refuses a bad setting before it loads anything.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic

from models.allowed_values import allowed_at, families_at, nearest_field
from models.errors import ConfigError

T = TypeVar("T")

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
"""A share or a probability."""
PositiveInt = Annotated[int, pydantic.Field(gt=0, le=2**31 - 1)]
"""A whole number above 0, of 31 bits: TensorFlow has no more for most of them."""
NonNegativeInt = Annotated[int, pydantic.Field(ge=0, le=2**31 - 1)]
"""A whole number of 31 bits, 0 included."""
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
"""A share that cannot be all: dropout, or a decay of averages."""


class Affects(enum.Enum):
    """What changes when a setting does. The key of a step holds the settings that its bytes need.

    A class of settings gives it for all its fields; a field that differs has its own in its
    annotation: `log_steps: Annotated[PositiveInt, Affects.NOTHING] = 20`.
    """

    EXAMPLES = "examples"
    """The documents that are kept, the vocabulary or the examples, and so the weights too."""
    WEIGHTS = "weights"
    """The weights, or what else is exported with them."""
    JUDGEMENT = "judgement"
    """Only whether text or a model is good enough."""
    NOTHING = "nothing"
    """No result: where things are, what computes them, what is logged; and paths of files, for
    which fingerprints of their bytes are in the keys."""


class Settings:
    """Base of the frozen dataclasses that configure something.

    A subclass gives the path of its fields in the whole configuration and what they affect:
    `class OptimizerConfig(Settings, place="training.optimizer", affects=Affects.WEIGHTS)`. Errors
    name a field by that path and its own name, as `--set` spells it.

    Raises:
        ConfigError: a value has the wrong type, is out of its bounds or is not finite, or two
            values do not go together.
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

    def that_affect(self, *kinds: Affects) -> dict[str, Any]:
        """The fields that affect one of these, and their values; settings inside are dictionaries.

        What `from_json` makes of it has the default values in all other fields.
        """
        chosen: dict[str, Any] = {}
        for name, affects in effects(type(self)):
            value = getattr(self, name)
            if isinstance(value, Settings):
                if inside := value.that_affect(*kinds):
                    chosen[name] = inside
            elif affects in kinds:
                chosen[name] = _plain(value)
        return chosen

    def changed(self, field: str) -> bool:
        """Whether a field, which has a default, has another value than that."""
        (default,) = (
            each.default_factory() if callable(each.default_factory) else each.default
            for each in dataclasses.fields(self)  # type: ignore[arg-type]
            if each.name == field
        )
        return bool(getattr(self, field) != default)


def effects(kind: type[Settings]) -> Iterator[tuple[str, Affects]]:
    """Each field of a class of settings, and what it affects; of settings inside, as a whole."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        notes = getattr(hints[field.name], "__metadata__", ())
        own = (note for note in notes if isinstance(note, Affects))
        yield field.name, next(own, kind.affects)


def _plain(value: Any) -> Any:
    """A value of a field as `dataclasses.asdict` has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


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
    return ConfigError(what, where=spelled(kind, *path), remedy=remedy or None)


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


def from_json(kind: type[T], text: str | bytes) -> T:
    """The dataclass `kind` of a JSON object, nested dataclasses included, types checked.

    Raises:
        ConfigError: naming the field, its value and what was expected.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        raise refusal(kind, error) from error
