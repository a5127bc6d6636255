"""Names that settings had in earlier releases, so that older configurations can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import ConfigError

RENAMED: Mapping[str, str] = {
    "devices.steps_per_call": "devices.steps_per_execution",
    "model.backbone.character_width": "model.backbone.character_embedding_size",
    "model.backbone.heads": "model.backbone.num_heads",
    "model.backbone.highways": "model.backbone.num_highways",
    "model.backbone.intermediate": "model.backbone.intermediate_size",
    "model.backbone.layers": "model.backbone.num_layers",
    "model.backbone.projection": "model.backbone.projection_size",
    "model.backbone.segments": "model.backbone.num_segments",
    "model.backbone.width": "model.backbone.hidden_size",
    "model.objective.candidates": "model.objective.num_sampled",
    "model.objective.eval_masked_share": "model.objective.eval_mask_prob",
    "model.objective.longest_ngram": "model.objective.max_ngram",
    "model.objective.masked_share": "model.objective.mask_prob",
    "model.objective.max_predictions": "model.objective.max_predictions_per_seq",
    "model.objective.short_sequence_share": "model.objective.short_seq_prob",
    "model.objective.streams": "model.objective.num_streams",
    "model.objective.unroll": "model.objective.unroll_steps",
    "model.objective.whole_words": "model.objective.whole_word_mask",
    "training.accumulation": "training.gradient_accumulation_steps",
    "training.held_out_batches": "training.eval_batches",
    "training.held_out_steps": "training.eval_steps",
    "training.optimizer.decay": "training.optimizer.schedule",
    "training.optimizer.initial_accumulator": "training.optimizer.initial_accumulator_value",
    "training.optimizer.layer_decay": "training.optimizer.layerwise_lr_decay",
    "training.optimizer.not_decayed": "training.optimizer.exclude_from_weight_decay",
    "training.warm_start.learning_rate_share": "training.warm_start.learning_rate_factor",
}
"""Old dotted name → current dotted name."""


def with_new_names(fields: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """A configuration with the current names of its settings.

    Args:
        fields: names → values, as read from JSON; nested configurations are mappings.
        place: the dotted name of `fields` in the whole configuration; empty for the whole.

    Raises:
        ConfigError: a setting has a value under its old name and another under its current name.
    """
    result: dict[str, Any] = {}
    for name, value in fields.items():
        dotted = f"{place}.{name}" if place else name
        if isinstance(value, Mapping):
            value = with_new_names(value, dotted)
        current = RENAMED.get(dotted, dotted)
        key = current.rpartition(".")[2]
        if key in result:
            older = next(old for old, new in RENAMED.items() if new == current)
            raise ConfigError(
                f"{older} and {current} are names of the same setting",
                where=current,
                remedy=f"remove {older}, the name in earlier releases",
            )
        result[key] = value
    return result
