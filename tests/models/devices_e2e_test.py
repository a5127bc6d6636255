"""Tests that losses are the same on one device, two, two processes, and in micro-batches."""

import pathlib

import numpy as np
import pytest

from models.registry import FAMILIES
from tests.testdata.training_program import finish, losses, start, weights, write_examples

ADAM = {"learning_rate": 1e-3, "warmup_steps": 10}
ADAGRAD = {
    "kind": "adagrad", "learning_rate": 0.2, "clip_norm": 10.0, "schedule": "constant",
    "warmup_steps": 0,
}  # fmt: skip
TWO_CPUS = {"strategy": "mirrored", "devices": ["CPU:0", "CPU:1"]}


@pytest.mark.e2e
@pytest.mark.parametrize("family", FAMILIES)
def test_the_losses_do_not_depend_on_the_devices(family: str, tmp_path: pathlib.Path) -> None:
    write_examples(family, tmp_path, streams=32)
    training = {
        "steps": 50,
        "batch_size": 32,
        "jit_compile": family == "gpt",  # with XLA and without it
        "log_steps": 1,
        "shuffle_buffer": 1000,
        "optimizer": ADAGRAD if family == "elmo" else ADAM,
    }

    def run(name: str, *arguments, **options) -> pathlib.Path:  # type: ignore[no-untyped-def]
        folder = tmp_path / name
        folder.mkdir()
        (folder / "examples").symlink_to(tmp_path / "examples")
        finish(start(family, folder, *arguments, **options))
        assert len(losses(folder)) == 50
        return folder

    one = run("one device", training)
    parts = run("in parts", training | {"gradient_accumulation_steps": 2})
    devices = run("two devices", training, TWO_CPUS, cpus=2)
    processes = run("two processes", training, {"strategy": "multi_worker"}, processes=2)
    for other in (parts, devices, processes):
        np.testing.assert_allclose(losses(other), losses(one), rtol=1e-5)
    # Two processes and two devices do the same arithmetic, unless TensorFlow fused operations in
    # one of the two graphs. It fuses none in programs that XLA compiled.
    if family in ("gpt", "elmo"):
        assert losses(processes) == losses(devices)
    both = weights(processes, worker=0), weights(processes, worker=1)
    for name, value in both[0].items():
        np.testing.assert_array_equal(value, both[1][name])
