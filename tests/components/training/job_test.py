"""The key of a job's checkpoints holds all that the weights depend on, and nothing else."""

import dataclasses
import pathlib
import shutil

import pytest

from models.training.config import DevicesConfig
from models.training.warm_start_config import WarmStartConfig
from tests.components.little_job import CONFIG, TRAINING, little_job, write_examples


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_examples(tmp_path_factory.mktemp("examples"))


def test_the_folder_is_keyed_by_all_that_the_weights_depend_on(
    examples: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = little_job(tmp_path, examples).folder
    assert first.parent == tmp_path
    assert little_job(tmp_path, examples).folder == first
    other_devices = DevicesConfig(strategy="mirrored", steps_per_execution=5, deterministic=False)
    assert little_job(tmp_path, examples, devices=other_devices).folder == first
    logging_only = {"unkeyed": '{"checkpoint_seconds": 9.0, "log_steps": 3, "keep_checkpoints": 5}'}
    assert little_job(tmp_path, examples, **logging_only).folder == first
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
    assert others[1] == first  # the same model settings
    assert len({first, *others}) == 4
    warm = dataclasses.replace(TRAINING, warm_start=WarmStartConfig(max_epochs=7.0))
    # Without a base model it has no effect.
    assert little_job(tmp_path, examples, training=warm).folder == first
    base_model = str(tmp_path / "base")
    other = little_job(tmp_path, examples, training=warm, base_model=base_model)
    assert other.folder != others[-1]
    moved = tmp_path / "moved"
    shutil.copytree(examples, moved / "examples")
    shutil.copytree(tmp_path / "base", moved / "base")
    moved_job = little_job(tmp_path, moved / "examples", base_model=str(moved / "base"))
    assert moved_job.folder == others[-1]
