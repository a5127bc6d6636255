"""Tests of when a run saves a checkpoint, who writes it, and what is restored."""

import pathlib

import keras
import numpy as np
import pytest

from models.errors import ConfigError
from models.training.checkpoints import Checkpoints
from models.training.config import TrainingConfig
from models.training.devices import Devices
from models.training.run_checkpoints import RunCheckpoints
from models.training.run_state import RunState


class Worker(Devices):
    """A process that is not the chief and hears that the chief has restored a step."""

    def __init__(self, chiefs_step: int = 0) -> None:
        super().__init__()
        self.worker = 1
        self._chiefs_step = chiefs_step

    def broadcast(self, number: int) -> int:
        return self._chiefs_step


class Run:
    """A run of one variable."""

    def __init__(
        self, folder: pathlib.Path, devices: Devices | None = None, seconds: float = 60.0
    ) -> None:
        self.state = RunState(100)
        self.weight = keras.Variable(np.zeros(2, np.float32))
        config = TrainingConfig(checkpoint_seconds=seconds)
        self.checkpoints = RunCheckpoints(
            folder, self.state, [self.weight], config, devices or Devices()
        )
        self.best = Checkpoints(folder / "best", self.state.best_step, 1, [self.state.best_step])

    def save(self, step: int) -> None:
        self.state.advance(step - int(self.state.step))
        self.weight.assign([float(step), 0.0])
        self.checkpoints.save(after=self.best)
        self.checkpoints.close()


def test_state_and_variables_are_restored(tmp_path: pathlib.Path) -> None:
    Run(tmp_path).save(7)
    run = Run(tmp_path)
    assert run.checkpoints.restore() == 7
    assert (int(run.state.step), int(run.state.batch)) == (7, 7)
    assert run.weight.numpy().tolist() == [7.0, 0.0]
    assert Run(tmp_path / "other").checkpoints.restore() == 0


def test_a_checkpoint_is_due_after_the_interval(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    run = Run(tmp_path, seconds=60.0)
    assert not run.checkpoints.due
    now[0] = 61.0
    assert run.checkpoints.due
    run.save(1)
    assert not run.checkpoints.due


def test_only_the_chief_writes(tmp_path: pathlib.Path) -> None:
    Run(tmp_path, Worker()).save(7)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_restores_the_chiefs_step(tmp_path: pathlib.Path) -> None:
    chief = Run(tmp_path)
    chief.save(7)
    chief.save(8)
    run = Run(tmp_path, Worker(chiefs_step=7))
    assert run.checkpoints.restore() == 7
    assert run.weight.numpy().tolist() == [7.0, 0.0]


def test_a_worker_that_cannot_read_the_chiefs_checkpoint_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    run = Run(tmp_path, Worker(chiefs_step=7))
    with pytest.raises(ConfigError, match="cannot read the checkpoint of step 7") as caught:
        run.checkpoints.restore()
    assert caught.value.where == str(tmp_path)
