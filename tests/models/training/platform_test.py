"""Tests of where XLA is chosen, and of the record of the platforms of a training."""

import dataclasses
import json
import logging
import pathlib

import pytest
import tensorflow as tf

from models.processor import Processor
from models.registry import FAMILIES
from models.training import platform as platform_module
from models.training.config import DevicesConfig, TrainingConfig
from models.training.devices import Devices
from models.training.platform import (
    PLATFORM_FILE,
    Platform,
    log_platform,
    platform,
    read_platforms,
    with_xla_chosen,
)

OLD = Platform(0, "old", ("avx2",), "CPU", 1, onednn=True, xla=False, tensorflow="2.0")
NEW = dataclasses.replace(OLD, processor="new", flags=("avx512f",), xla=True)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A model with this number of weights."""

    number: int

    def count_params(self):
        return self.number


LARGE = Weights(5_000_000)


@pytest.mark.parametrize(
    ("onednn", "gpus", "weights", "kind"),
    [
        (True, [], 5_000_000, "CPU with oneDNN"),
        (False, [], 5_000_000, "CPU"),
        (True, [], 4_999_999, "CPU, small model"),
        (False, [], 4_999_999, "CPU, small model"),
        (True, ["GPU:0"], 4_999_999, "GPU"),
        (False, ["GPU:0"], 5_000_000, "GPU"),
    ],
)
def test_xla_is_chosen_by_the_kind_of_device(monkeypatch, onednn, gpus, weights, kind):
    monkeypatch.setattr(platform_module, "onednn_is_on", lambda: onednn)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    config, model, devices = TrainingConfig(), Weights(weights), Devices()
    others = {"CPU", "CPU with oneDNN", "CPU, small model", "GPU", "TPU"} - {kind}
    assert with_xla_chosen(config, {kind}, model, devices).jit_compile is True
    assert with_xla_chosen(config, others, model, devices).jit_compile is False


def test_named_processors_are_not_gpus(monkeypatch):
    monkeypatch.setattr(platform_module, "onednn_is_on", lambda: False)
    devices = Devices(DevicesConfig("mirrored", devices=("CPU:0",)))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    assert with_xla_chosen(TrainingConfig(), {"GPU"}, LARGE, devices).jit_compile is False


@pytest.mark.parametrize("chosen", [True, False])
def test_a_configured_choice_is_kept(chosen):
    config = TrainingConfig(jit_compile=chosen)
    assert with_xla_chosen(config, {"CPU", "CPU with oneDNN", "GPU"}, LARGE, Devices()) == config
    assert with_xla_chosen(config, set(), LARGE, Devices()) == config


def test_every_family_declares_where_xla_is_faster():
    assert {name: sorted(family.xla_pays_on) for name, family in FAMILIES.items()} == {
        "elmo": [],
        "bert": ["CPU", "CPU, small model", "GPU"],
        "gpt": ["CPU", "CPU, small model", "GPU"],
    }


def test_the_platform_of_this_machine(monkeypatch):
    monkeypatch.setattr(Processor, "here", lambda: Processor("mine", ("avx2",)))
    monkeypatch.setattr(platform_module, "onednn_is_on", lambda: True)
    found = platform(7, TrainingConfig(jit_compile=False), Devices())
    assert found == Platform(
        7, "mine", ("avx2",), "CPU", 1, onednn=True, xla=False, tensorflow=tf.__version__
    )
    assert str(found) == (f"CPU, mine (avx2), oneDNN on, XLA off, TensorFlow {tf.__version__}")


def test_several_devices_are_counted():
    assert str(dataclasses.replace(NEW, device="GPU", replicas=8)) == (
        "8 × GPU, new (avx512f), oneDNN on, XLA on, TensorFlow 2.0"
    )


def recorded(folder: pathlib.Path) -> list[tuple[int, str]]:
    """First step and processor of each platform in the file."""
    lines = (folder / PLATFORM_FILE).read_text().splitlines()
    return [(json.loads(line)["first_step"], json.loads(line)["processor"]) for line in lines]


def test_a_run_that_resumes_on_another_platform_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO, "polyseme.training")
    log_platform(tmp_path / "logs", OLD)
    assert caplog.messages == [f"training on {OLD}"]
    log_platform(tmp_path / "logs", dataclasses.replace(NEW, first_step=5))
    assert recorded(tmp_path / "logs") == [(0, "old"), (5, "new")]
    assert "the first 5 steps were computed on CPU, old (avx2)" in caplog.text
    assert read_platforms(tmp_path / "logs" / PLATFORM_FILE) == [
        OLD,
        dataclasses.replace(NEW, first_step=5),
    ]


def test_a_run_that_resumes_on_the_same_platform_does_not_change_the_file(tmp_path, caplog):
    log_platform(tmp_path, OLD)
    before = (tmp_path / PLATFORM_FILE).read_bytes()
    log_platform(tmp_path, dataclasses.replace(OLD, first_step=5))
    assert (tmp_path / PLATFORM_FILE).read_bytes() == before
    assert not caplog.messages  # no warning


def test_platforms_of_repeated_steps_are_removed(tmp_path):
    log_platform(tmp_path, OLD)
    log_platform(tmp_path, dataclasses.replace(NEW, first_step=5))
    log_platform(tmp_path, dataclasses.replace(OLD, first_step=5))
    assert recorded(tmp_path) == [(0, "old")]
    log_platform(tmp_path, NEW)
    assert recorded(tmp_path) == [(0, "new")]


def test_without_a_file_there_are_no_platforms(tmp_path):
    assert read_platforms(tmp_path / PLATFORM_FILE) == []
