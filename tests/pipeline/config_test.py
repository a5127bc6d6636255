"""The configuration survives JSON, and its fingerprint depends on content alone."""

import dataclasses
import functools
import json
import os
import pathlib
import time
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from components.config import BeamConfig
from models.bert.config import BertConfig
from models.elmo.config import ElmoConfig
from models.errors import ConfigError
from models.gpt.config import GptConfig
from models.renamed_settings import RENAMED
from models.training.config import DevicesConfig
from pipeline.config import PipelineConfig, pipeline_folder
from pipeline.overrides import apply_overrides
from pipeline.recipes import RECIPES


def test_a_search_space_survives_json() -> None:
    space = "tuning.space=model.backbone.dropout:0..0.3,training.batch_size:8/16"
    config = apply_overrides(
        RECIPES["bert_tiny"](), [space, "ingestion.eval_share=0.1", "tuning.trials=3"]
    )
    assert PipelineConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_survives_json(name: str) -> None:
    config = RECIPES[name]()
    assert PipelineConfig.from_json(config.to_json()) == config


def test_a_configuration_of_an_earlier_release_with_two_splits_is_read() -> None:
    config = RECIPES["bert_tiny"]()
    fields = json.loads(config.to_json())
    ingestion, training = fields["ingestion"], fields["training"]
    ingestion["eval_share"] = ingestion.pop("test_share")
    ingestion["eval_shards"] = ingestion.pop("held_out_shards")
    for name in ("seeds", "window", "replay_share", "warm_start"):
        del training[name]
    training["eval_steps"] = 5
    assert PipelineConfig.from_json(json.dumps(fields)) == config


@pytest.mark.parametrize("name", ["bert_tiny", "elmo_tiny", "gpt_tiny"])
def test_a_configuration_with_earlier_names_is_read(name: str) -> None:
    config = RECIPES[name]()
    fields = json.loads(config.to_json())
    renamed = 0
    for before, now in RENAMED.items():
        *sections, leaf = now.split(".")
        section = functools.reduce(dict.get, sections, fields)
        if leaf in section:
            section[before.rpartition(".")[2]] = section.pop(leaf)
            renamed += 1
    assert renamed > 10
    assert PipelineConfig.from_json(json.dumps(fields)) == config


def test_a_partial_configuration_with_earlier_names_is_read() -> None:
    fields = {"model": {"family": "bert"}, "training": {"accumulation": 2}}
    config = PipelineConfig.from_json(json.dumps(fields))
    assert config.training.gradient_accumulation_steps == 2


def test_a_search_space_with_earlier_names_is_read() -> None:
    fields = json.loads(RECIPES["bert_tiny"]().to_json())
    fields["ingestion"]["eval_share"] = 0.1
    space = {"field": "training.optimizer.layer_decay", "values": [0.5, 1.0]}
    fields["tuning"] |= {"trials": 2, "space": [space]}
    config = PipelineConfig.from_json(json.dumps(fields))
    assert config.tuning.space[0].field == "training.optimizer.layerwise_lr_decay"


def test_an_image_without_a_digest_is_refused() -> None:
    config = RECIPES["bert_tiny"]()
    image = f"registry:5000/tensorflow/serving@sha256:{'0a' * 32}"
    assert dataclasses.replace(config, serving_image=image).serving_image == image
    for other in ("tensorflow/serving", "tensorflow/serving:latest", image[:-1], f"{image}0"):
        with pytest.raises(ConfigError) as caught:
            dataclasses.replace(config, serving_image=other)
        assert caught.value.where == "serving_image"


def test_a_configuration_that_started_a_container_without_a_digest_is_read() -> None:
    config = RECIPES["bert_tiny"]()
    fields = json.loads(config.to_json())
    del fields["serving_image"]
    assert PipelineConfig.from_json(json.dumps(fields | {"serve_in_container": True})) == config


def test_an_unknown_field_is_named() -> None:
    fields = json.loads(RECIPES["bert_tiny"]().to_json())
    fields["training"]["stepps"] = 3
    with pytest.raises(ConfigError, match=r"training\.stepps"):
        PipelineConfig.from_json(json.dumps(fields))


def test_settings_of_confidence_intervals_do_not_change_the_fingerprint() -> None:
    config = RECIPES["bert_tiny"]()
    for pair in ("confidence=0.9", "resamples=500", "seed=1"):
        changed = apply_overrides(config, [f"evaluation.{pair}"])
        assert changed != config
        assert changed.fingerprint() == config.fingerprint()
    for pair in ("confidence=1.0", "confidence=0.4", "resamples=10"):
        with pytest.raises(ConfigError, match=r"evaluation\."):
            apply_overrides(config, [f"evaluation.{pair}"])


def test_the_fingerprint_depends_on_content_and_not_on_places() -> None:
    config = RECIPES["bert_tiny"]()
    elsewhere = dataclasses.replace(
        config,
        name="other",
        recipe="other",
        runs="/elsewhere",
        beam=BeamConfig(workers=2),
        devices=DevicesConfig(strategy="mirrored"),
        ingestion=dataclasses.replace(config.ingestion, input="other/place.txt"),
    )
    assert elsewhere.fingerprint() == config.fingerprint()
    for pair in (
        "training.seed=1",
        "ingestion.lang=zh",
        "model.backbone.num_layers=3",
        "ingestion.eval_share=0.1",
    ):
        assert apply_overrides(config, [pair]).fingerprint() != config.fingerprint()


def test_the_folder_is_absolute(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert PipelineConfig(runs="runs", name="mine").folder == tmp_path / "runs/mine"


def test_without_a_name_the_pipeline_that_ran_last_is_found(tmp_path: pathlib.Path) -> None:
    for age, name in enumerate(["new", "old"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        moment = time.time() - 1000 * age
        os.utime(tmp_path / name / "config.json", (moment, moment))
    assert pipeline_folder(str(tmp_path), None) == tmp_path / "new"
    assert pipeline_folder(str(tmp_path), "old") == tmp_path / "old"


UNBOUNDED = {
    "Hyperparameter.values": "values of the field that is tuned, which has its own bounds",
    "Hyperparameter.low": "see values",
    "Hyperparameter.high": "see values",
}


def numbers(kind: Any, bounded: bool = False) -> Iterator[bool]:
    """For each number in a type, whether it has a bound."""
    if typing.get_origin(kind) is typing.Annotated:
        bounds = [
            bound
            for each in kind.__metadata__
            for bound in getattr(each, "metadata", [each])
            if any(hasattr(bound, name) for name in ("gt", "ge", "lt", "le"))
        ]
        yield from numbers(kind.__origin__, bool(bounds))
    elif typing.get_origin(kind) is not typing.Literal and typing.get_args(kind):
        for inner in typing.get_args(kind):
            yield from numbers(inner, bounded)
    elif kind in (int, float):
        yield bounded


def kinds(kind: Any) -> set[type]:
    """The configurations in a type, and those inside them."""
    if not dataclasses.is_dataclass(kind):
        return set().union(*map(kinds, typing.get_args(kind)))
    hints = typing.get_type_hints(kind)
    return {kind}.union(*map(kinds, hints.values()))  # type: ignore[arg-type]


def test_each_number_has_a_bound() -> None:
    found = kinds(PipelineConfig)
    assert {ElmoConfig, BertConfig, GptConfig, DevicesConfig} < found
    unbounded = {
        f"{kind.__name__}.{field.name}"
        for kind in found
        for field in dataclasses.fields(kind)
        if not all(numbers(typing.get_type_hints(kind, include_extras=True)[field.name]))
    }
    assert unbounded == set(UNBOUNDED)


@pytest.mark.parametrize(
    ("recipe", "pairs", "where"),
    [
        ("elmo_tiny", ["training.batch_size=3"], "training.batch_size"),
        ("elmo_tiny", ["training.length_buckets=2"], "training.length_buckets"),
        ("gpt_tiny", ["training.length_buckets=2"], "training.length_buckets"),
        (
            "bert_tiny",
            ["devices.strategy=multi_worker", "devices.processes=3"],
            "training.batch_size",
        ),
        (
            "bert_tiny",
            ["tuning.space=model.objective.dupe_factor:1/2", "tuning.trials=1"],
            "tuning.space, model.objective.dupe_factor",
        ),
        ("bert_tiny", ["ingestion.lang=de"], "ingestion.lang"),
        ("bert_tiny", ["model.backbone.hidden_size=33"], "model.backbone.hidden_size"),
        ("bert_tiny", ["model.backbone.max_length=32"], "model.objective.sequence_length"),
    ],
)
def test_contradicting_settings_are_refused(recipe: str, pairs: list[str], where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        apply_overrides(RECIPES[recipe](), pairs)
    assert refused.value.where == where


def test_errors_name_fields_of_the_model_without_the_family() -> None:
    fields = json.loads(RECIPES["gpt_tiny"]().to_json())
    fields["model"]["backbone"]["dropout"] = -1
    with pytest.raises(ConfigError) as refused:
        PipelineConfig.from_json(json.dumps(fields))
    assert refused.value.where == "model.backbone.dropout"


def test_changed_settings_without_effect_are_listed() -> None:
    config = RECIPES["bert_tiny"]()
    assert config.without_effect() == []
    assert apply_overrides(config, ["vocabulary.file=words.txt"]).without_effect() == [
        "vocabulary.min_count=1 has no effect, as the vocabulary is read from vocabulary.file"
    ]
    assert apply_overrides(RECIPES["bert_demo"](), ["vocabulary.file=a"]).without_effect() == []


@pytest.mark.parametrize(
    "setting", ["training.eval_steps=5", "training.seeds=3", "tuning.trials=2"]
)
def test_settings_that_need_the_split_eval_are_refused_without_it(setting: str) -> None:
    with pytest.raises(
        ConfigError, match=r'the split "eval", which .* needs, has no documents'
    ) as caught:
        apply_overrides(RECIPES["bert_tiny"](), [setting])
    assert caught.value.where == "ingestion.eval_share"
    apply_overrides(RECIPES["bert_tiny"](), [setting, "ingestion.eval_share=0.1"])
