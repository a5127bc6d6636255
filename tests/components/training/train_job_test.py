"""Training a job in this process: precision, initial weights, and jobs of other processes."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.training.train_job import build_model, load_weights, train_job
from models.errors import Preempted
from models.gpt.backbone import build_backbone
from models.gpt.objective import GptObjective
from models.gpt.pretraining import GptPretraining
from models.training.config import DevicesConfig
from models.training.devices import Devices
from tests.components.little_job import TRAINING, little_job, write_examples
from tests.testdata import little_gpt


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


def test_a_process_that_has_another_job_than_the_chief_ends(
    examples: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_of_chief = little_job(tmp_path, examples, training=dataclasses.replace(TRAINING, steps=2))
    monkeypatch.setattr(Devices, "broadcast", lambda *_: int(job_of_chief.key[:15], 16))
    other = little_job(tmp_path, examples, training=dataclasses.replace(TRAINING, steps=3))
    with pytest.raises(Preempted, match="different training jobs") as caught:
        train_job(other)
    assert caught.value.where == str(other.folder)


def test_mixed_bfloat16_keeps_float32_weights_and_returns_a_float32_model(
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


def test_a_warm_start_accepts_another_number_of_bigram_pairs(
    tmp_path: pathlib.Path,
) -> None:
    """Only the weights come from the base model; the baselines' tables are filled again."""
    words = little_gpt.tokenizer()

    def build(seed: int, pairs: int) -> GptPretraining:
        keras.utils.set_random_seed(seed)
        config = dataclasses.replace(little_gpt.CONFIG.objective, bigram_pairs=pairs)
        backbone = build_backbone(little_gpt.CONFIG.backbone, words)
        return GptObjective(config, words).build_model(backbone)

    base, model = build(0, 64), build(1, 32)
    tables = [table for baseline in base.baselines for table in baseline.tables]
    exported = tf.train.Checkpoint(model=base, baselines=tables)  # as `export` does
    exported.write(str(tmp_path / "variables/variables"))
    load_weights(model, str(tmp_path))
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
    build_model(little_job(tmp_path, examples, devices=devices.config), devices)
    assert bool(enabled) == deterministic
