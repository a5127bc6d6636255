"""All settings of a configuration, and another valid value for each, for tests of cache keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.settings import Affects, Settings, effects

OTHERS = {
    "beam.runner": "FlinkRunner",
    "beam.step_args": "Evaluator:--x=1",
    "cleaning.near_duplicate_similarity": "0.7",
    "devices.strategy": "mirrored",
    "evaluation.confidence": "0.9",
    "ingestion.encoding": "utf-16",
    "model.backbone.activation": "gelu",
    "model.backbone.num_heads": "4",
    "model.backbone.vocabulary_rows": "1024",
    "model.backbone.hidden_size": "64",
    "model.objective.second_segment": "sentence_order",
    "model.objective.sequence_length": "48",
    "serving_image": f"tensorflow/serving@sha256:{'0b' * 32}",
    "training.optimizer.beta_1": "0.8",
    "training.optimizer.beta_2": "0.99",
    "training.optimizer.schedule": "cosine",
    "training.optimizer.final_learning_rate": "1e-6",
    "training.optimizer.kind": "lamb",
    "training.precision": "mixed_bfloat16",
    "training.start": "scratch",
    "tuning.algorithm": "bayesian",
}
"""Other values for fields that do not accept every value of their type."""


def leaves(config: Settings, prefix: str = "") -> Iterator[tuple[str, Affects]]:
    """The dotted name of each field that is not itself a group of settings, and what it affects."""
    for name, affects in effects(type(config)):
        value = getattr(config, name)
        if isinstance(value, Settings):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", affects


def another(config: Settings, path: str) -> str:
    """Another value for a field, as text for `--set`."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return str(value / 2 if value else 0.25)
    if value is None:
        return "1"
    return {"en": "zh"}.get(str(value), "x")
