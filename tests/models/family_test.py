"""The base of a family's settings and parts."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Literal

import pytest

from models.family import FamilyConfig
from models.registry import FAMILIES
from models.settings import Affects
from models.training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class Config(FamilyConfig, place="model", affects=Affects.EXAMPLES):
    family: Literal["little"] = "little"


def test_by_default_a_family_accepts_any_training() -> None:
    config = Config()
    config.check_training(TrainingConfig(batch_size=3, length_buckets=4))
    assert [field.name for field in dataclasses.fields(config)] == ["family"]


@pytest.mark.parametrize("name", FAMILIES)
def test_objective_config_is_the_class_of_the_families_objective_settings(name: str) -> None:
    family = FAMILIES[name]
    assert family.objective_config is type(family.config().objective)


def test_settings_and_metrics_need_no_tensorflow() -> None:
    script = (
        "import sys; from models.registry import FAMILIES;"
        "print(*(len(family.config().objective.metrics()) > 3 for family in FAMILIES.values()),"
        "*{'tensorflow', 'keras', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == {"True"}
