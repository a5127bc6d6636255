import dataclasses
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.training.job import begin, train_job, warm_start
from models.errors import Preempted
from models.gpt.backbone import build_backbone
from models.gpt.objective import GptObjective
from models.gpt.pretraining import GptPretraining
from models.training.config import DevicesConfig
from models.training.devices import Devices
from models.training.warm_start_config import WarmStartConfig
from tests.components.little_job import CONFIG, TRAINING, little_job, write_examples
from tests.testdata import little_gpt


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


def test_the_folder_is_keyed_by_all_that_the_weights_depend_on(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = little_job(tmp_path, examples).folder
    assert first.parent == tmp_path
    assert little_job(tmp_path, examples).folder == first
    elsewhere = DevicesConfig(strategy="mirrored", steps_per_execution=5, deterministic=False)
    assert little_job(tmp_path, examples, devices=elsewhere).folder == first
    often = {"unkeyed": '{"checkpoint_seconds": 9.0, "log_steps": 3, "keep_checkpoints": 5}'}
    assert little_job(tmp_path, examples, **often).folder == first
    base = tmp_path / "base" / "variables" / "variables.index"
    base.parent.mkdir(parents=True)
    base.write_bytes(b"checksums")
    others = [
        little_job(tmp_path, examples, **changes).folder
        for changes in (
            {"training": dataclasses.replace(TRAINING, precision="mixed_bfloat16")},
            {"model": dataclasses.replace(CONFIG, family="bert", objective=CONFIG.objective)},
            {"code": "other"},
            {"base_model": str(tmp_path / "base")},
        )
    ]
    assert others[1] == first  # the same model
    assert len({first, *others}) == 4
    warm = dataclasses.replace(TRAINING, warm_start=WarmStartConfig(max_epochs=7.0))
    assert little_job(tmp_path, examples, training=warm).folder == first  # from no model
    base_model = str(tmp_path / "base")
    other = little_job(tmp_path, examples, training=warm, base_model=base_model)
    assert other.folder != others[-1]
    moved = tmp_path / "moved"
    shutil.copytree(examples, moved / "examples")
    shutil.copytree(tmp_path / "base", moved / "base")
    there = little_job(tmp_path, moved / "examples", base_model=str(moved / "base"))
    assert there.folder == others[-1]


def test_a_process_that_has_another_job_than_the_chief_ends(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chiefs = little_job(tmp_path, examples, training=dataclasses.replace(TRAINING, steps=2))
    monkeypatch.setattr(Devices, "agree", lambda *_: int(chiefs.name[:15], 16))
    other = little_job(tmp_path, examples, training=dataclasses.replace(TRAINING, steps=3))
    with pytest.raises(Preempted, match="another training than the chief's") as caught:
        train_job(other)
    assert caught.value.where == str(other.folder)


def test_in_bfloat16_weights_stay_float32_and_the_model_that_comes_of_it_computes_in_float32(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    training = dataclasses.replace(TRAINING, steps=3, eval_steps=0)
    full = train_job(little_job(tmp_path, examples, training=training))
    half = dataclasses.replace(training, precision="mixed_bfloat16")
    mixed = train_job(little_job(tmp_path, examples, training=half))
    assert {v.dtype for v in mixed.model.trainable_variables} == {"float32"}
    assert {layer.compute_dtype for layer in mixed.model.layers} == {"float32"}
    assert mixed.result.losses["loss"] != full.result.losses["loss"]
    assert mixed.result.losses["loss"] == pytest.approx(full.result.losses["loss"], rel=0.02)
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(
            full.model.trainable_variables, mixed.model.trainable_variables, strict=True
        )
    ]
    assert all(changed)


def test_a_warm_start_does_not_ask_for_as_many_pairs_in_the_baseline(
    tmp_path: pathlib.Path,
) -> None:
    """Only the weights are the base model's; the tables are filled anew."""
    words = little_gpt.tokenizer()

    def build(seed: int, pairs: int) -> GptPretraining:
        keras.utils.set_random_seed(seed)
        config = dataclasses.replace(little_gpt.CONFIG.objective, bigram_pairs=pairs)
        backbone = build_backbone(little_gpt.CONFIG.backbone, words)
        return GptObjective(config, words).build_model(backbone)

    base, model = build(0, 64), build(1, 32)
    tables = [table for baseline in base.baselines for table in baseline.tables]
    exported = tf.train.Checkpoint(model=base, baselines=tables)  # as the exporter does
    exported.write(str(tmp_path / "variables/variables"))
    warm_start(model, str(tmp_path))
    np.testing.assert_equal(
        [weight.numpy() for weight in model.trainable_variables],
        [weight.numpy() for weight in base.trainable_variables],
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_operations_are_deterministic_unless_that_is_switched_off(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    deterministic: bool,
) -> None:
    enabled: list[bool] = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: enabled.append(True)
    )
    devices = Devices(DevicesConfig(deterministic=deterministic))
    begin(little_job(tmp_path, examples, devices=devices.config), devices)
    assert bool(enabled) == deterministic
