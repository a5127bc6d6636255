"""The steps of the pipeline in their order, and where a run may end before the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

COMPONENTS: Sequence[str] = (
    "TextExampleGen",
    "StatisticsGen",
    "TextSchema",
    "ExampleValidator",
    "LastApprovedStatistics",
    "TrainedEarlier",
    "TextCleaner",
    "DataGate",
    "LastBlessedModel",
    "TrainingStart",
    "VocabularyTrainer",
    "ExampleBuilder",
    "LastApprovedExamples",
    "ExampleGate",
    "Tuner",
    "Trainer",
    "Evaluator",
    "ServingCheck",
    "InfraValidator",
    "Pusher",
)
"""The components in the order they run; a test holds pipeline/dag.py to it."""

WHERE_POSSIBLE = frozenset({"InfraValidator", "Tuner"})
"""What not every pipeline has: it takes Docker, or trials. Where one did not end well, Pusher or
Trainer did not start."""

Until = Literal["validation", "examples"]
"""Where a partial run ends: the text is checked; the examples are made and checked."""

LAST_STEPS: Mapping[Until, str] = {"validation": "DataGate", "examples": "ExampleGate"}
"""The last step of each partial run. It takes every step before it."""


def steps_until(until: Until | None) -> Sequence[str]:
    """The steps of a partial run, all for None."""
    return COMPONENTS[: COMPONENTS.index(LAST_STEPS[until]) + 1] if until else COMPONENTS
