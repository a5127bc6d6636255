"""The steps in their order, and where a partial run ends."""

import pytest

from pipeline.steps import COMPONENTS, Until, steps_until


@pytest.mark.parametrize(
    ("until", "last", "next_one"),
    [("validation", "DataGate", "LastBlessedModel"), ("examples", "ExampleGate", "Tuner")],
)
def test_a_partial_run_ends_with_a_gate(until: Until, last: str, next_one: str) -> None:
    steps = steps_until(until)
    assert (steps[-1], COMPONENTS[len(steps)]) == (last, next_one)
    assert steps == COMPONENTS[: len(steps)]


def test_a_complete_run_has_all_steps() -> None:
    assert steps_until(None) == COMPONENTS
