"""Tests of the bounds on the settings of a warm start."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import ConfigError
from models.training.warm_start_config import WarmStartConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate_factor", 0.0), ("learning_rate_factor", 1.5), ("max_epochs", 0.0)],
)
def test_limits_out_of_bounds_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        WarmStartConfig(**{field: value})
    assert caught.value.where == f"training.warm_start.{field}"
