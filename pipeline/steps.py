"""The steps of the pipeline in order, and the steps after which a partial run may stop."""

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
"""The components in the order in which they run; a test compares it with pipeline/dag.py."""

OPTIONAL_COMPONENTS = frozenset({"InfraValidator", "Tuner"})
"""Components that only some pipelines have: those with Docker, or with trials. If one fails, Pusher
or Trainer does not start, so such a run is not mistaken for a run without them."""

Until = Literal["validation", "examples"]
"""Where a partial run stops: after the text is checked, or after the examples are checked."""

LAST_STEPS: Mapping[Until, str] = {"validation": "DataGate", "examples": "ExampleGate"}
"""The last step of each partial run; all steps before it run too."""


def steps_until(until: Until | None) -> Sequence[str]:
    """The steps of a partial run, all steps for None."""
    return COMPONENTS[: COMPONENTS.index(LAST_STEPS[until]) + 1] if until else COMPONENTS
