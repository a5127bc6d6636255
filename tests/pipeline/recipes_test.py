"""Every recipe documents its command and expected result, and its settings fit together."""

import pytest

from pipeline.recipes import RECIPES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_documents_its_command_and_its_result(name: str) -> None:
    text = RECIPES[name].__doc__ or ""
    assert f"python -m pipeline run {name} " in text
    assert "Expected:" in text


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_settings_of_every_recipe_fit_together(name: str) -> None:
    config = RECIPES[name]()
    model = config.model
    if model.family == "elmo":
        assert model.objective.num_streams % config.training.batch_size == 0
    else:
        assert model.backbone.hidden_size % model.backbone.num_heads == 0
        assert model.objective.sequence_length <= model.backbone.max_length
    warmup = config.training.optimizer.resolved(config.training.steps).warmup_steps
    assert warmup is not None
    assert warmup < config.training.steps
    assert config.training.batch_size % config.training.gradient_accumulation_steps == 0
    assert RECIPES[name].__name__ == name
    assert name.startswith(model.family)
