"""Tests that configurations with old names of settings are read."""

import pytest

from models.errors import ConfigError
from models.renamed_settings import RENAMED, with_new_names


def test_a_whole_configuration_gets_the_new_names() -> None:
    older = {
        "name": "m",
        "model": {"backbone": {"width": 8, "layers": 2}, "objective": {"sequence_length": 16}},
        "training": {"accumulation": 2, "optimizer": {"decay": "cosine"}},
        "layers": 3,
    }
    assert with_new_names(older) == {
        "name": "m",
        "model": {
            "backbone": {"hidden_size": 8, "num_layers": 2},
            "objective": {"sequence_length": 16},
        },
        "training": {"gradient_accumulation_steps": 2, "optimizer": {"schedule": "cosine"}},
        "layers": 3,
    }


def test_a_part_of_a_configuration_gets_the_new_names() -> None:
    assert with_new_names({"masked_share": 0.2}, "model.objective") == {"mask_prob": 0.2}


@pytest.mark.parametrize("order", [1, -1])
def test_a_setting_under_both_names_is_refused(order: int) -> None:
    both = [("width", 96), ("hidden_size", 48)][::order]
    with pytest.raises(ConfigError) as caught:
        with_new_names({"model": {"backbone": dict(both)}})
    assert caught.value.what == (
        "model.backbone.width and model.backbone.hidden_size are names of the same setting"
    )
    assert caught.value.remedy == "remove model.backbone.width, the name in earlier releases"


def test_new_names_are_kept() -> None:
    newer = {"training": {"gradient_accumulation_steps": 2}}
    assert with_new_names(newer) == newer


def test_a_renamed_setting_stays_in_its_class() -> None:
    for older, newer in RENAMED.items():
        assert older.rpartition(".")[0] == newer.rpartition(".")[0]
        assert newer not in RENAMED
