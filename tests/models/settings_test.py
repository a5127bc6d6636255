"""Tests that values are checked however a configuration is made, and what settings affect."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Annotated, Any, Literal

import pydantic
import pytest

from models.errors import ConfigError
from models.settings import Affects, Rate, Settings, Share, effects, from_json


@dataclasses.dataclass(frozen=True)
class Bank(Settings, place="river.bank", affects=Affects.WEIGHTS):
    height: pydantic.PositiveInt = 3
    share: Share = 0.5
    dropped: Rate = 0.0
    names: tuple[str, ...] = ()
    side: Literal["left", "right"] = "left"
    slope: float = 1.0
    depth: Annotated[int, pydantic.Field(ge=2)] | None = None
    both: bool = False

    def check(self) -> None:
        if self.both and self.changed("side"):
            raise self.refused("side", "both sides are meant", "leave the side out")


@dataclasses.dataclass(frozen=True)
class River(Settings, place="river", affects=Affects.EXAMPLES):
    bank: Bank = dataclasses.field(default_factory=Bank)


WRONG: list[tuple[str, Any, str]] = [
    ("height", 0, "Input should be greater than 0, got 0"),
    ("height", 1.5, "Input should be a valid integer, got 1.5"),
    ("height", True, "Input should be a valid integer, got True"),
    ("share", 1.01, "Input should be less than or equal to 1, got 1.01"),
    ("share", -0.01, "Input should be greater than or equal to 0, got -0.01"),
    ("share", float("nan"), "Input should be a finite number, got nan"),
    ("dropped", 1.0, "Input should be less than 1, got 1.0"),
    ("slope", float("nan"), "Input should be a finite number, got nan"),
    ("slope", float("inf"), "Input should be a finite number, got inf"),
    ("side", "middle", "Input should be 'left' or 'right', got 'middle'"),
    ("depth", 1, "Input should be greater than or equal to 2, got 1"),
]

REMEDIES = {
    "height": "a whole number above 0",
    "share": "a number from 0 to 1",
    "dropped": "a number of 0 or more and below 1",
    "slope": "a number",
    "side": "one of left, right",
    "depth": "a whole number of 2 or more, or None",
}


@pytest.mark.parametrize(("field", "value", "what"), WRONG)
def test_a_wrong_value_is_refused_however_it_is_set(field: str, value: Any, what: str) -> None:
    ways = (
        lambda: Bank(**{field: value}),
        lambda: dataclasses.replace(Bank(), **{field: value}),
        lambda: from_json(River, json.dumps({"bank": {field: value}})),
    )
    for way in ways:
        with pytest.raises(ConfigError) as refused:
            way()
        assert refused.value.where == f"river.bank.{field}"
        assert refused.value.what == what
        assert refused.value.remedy == f"give {REMEDIES[field]}"


def test_the_bounds_themselves_are_allowed() -> None:
    bank = Bank(height=1, share=1, dropped=0.0, depth=2)
    assert (bank.height, bank.share, bank.depth) == (1, 1, 2)


def test_a_rule_about_two_fields_names_the_field_to_change() -> None:
    assert Bank(both=True).side == "left"
    assert Bank(side="right").both is False
    with pytest.raises(ConfigError) as refused:
        Bank(both=True, side="right")
    assert str(refused.value) == (
        "both sides are meant\n  where: river.bank.side\n  to do: leave the side out"
    )
    with pytest.raises(ConfigError, match="both sides are meant"):
        from_json(River, '{"bank": {"both": true, "side": "right"}}')


def test_a_nested_configuration_must_have_its_class() -> None:
    with pytest.raises(ConfigError, match="should be an instance of Bank") as refused:
        River(bank=3)  # type: ignore[arg-type]
    assert refused.value.where == "river.bank"


def test_a_configuration_is_otherwise_a_plain_dataclass() -> None:
    river = River(Bank(names=("Thames",)))
    assert pickle.loads(pickle.dumps(river)) == river  # noqa: S301  our own bytes
    assert dataclasses.asdict(river)["bank"]["names"] == ("Thames",)
    assert hash(river) == hash(River(Bank(names=("Thames",))))


@dataclasses.dataclass(frozen=True)
class Delta(Settings, place="delta", affects=Affects.EXAMPLES):
    river: River = dataclasses.field(default_factory=River)
    arms: int = 3
    gauge: Annotated[pydantic.PositiveInt | None, Affects.JUDGEMENT] = None
    maps: Annotated[tuple[str, ...], Affects.NOTHING] = ("a",)


def test_a_setting_affects_what_its_class_declares_unless_it_overrides_it() -> None:
    assert dict(effects(Delta)) == {
        "river": Affects.EXAMPLES,
        "arms": Affects.EXAMPLES,
        "gauge": Affects.JUDGEMENT,
        "maps": Affects.NOTHING,
    }


def test_that_affect_returns_settings_and_nested_settings() -> None:
    delta = Delta()
    assert delta.that_affect(Affects.EXAMPLES) == {"arms": 3}
    assert delta.that_affect(Affects.JUDGEMENT, Affects.NOTHING) == {"gauge": None, "maps": ("a",)}
    weights = delta.that_affect(Affects.WEIGHTS)
    assert list(weights) == ["river"]
    assert weights["river"]["bank"] == dataclasses.asdict(Bank())
    assert delta.that_affect(*Affects) == dataclasses.asdict(delta)
    text = json.dumps(Delta(arms=5, maps=("b",)).that_affect(Affects.EXAMPLES, Affects.WEIGHTS))
    assert from_json(Delta, text) == Delta(arms=5)
