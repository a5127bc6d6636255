"""Tests that training that was killed and terminated at random moments ends with the same weights.

`POLYSEME_KILLS=20 POLYSEME_TERMS=5` is the full test, which takes five to nine minutes for each
family and number of processes. By default there are a few kills and terminations.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Sequence

import numpy as np
import pytest

from models.registry import FAMILIES
from tests.testdata.commands import AnyCommand
from tests.testdata.training_program import finish, kill, losses, start, weights, write_examples

KILLS = int(os.environ.get("POLYSEME_KILLS", "2"))
TERMS = int(os.environ.get("POLYSEME_TERMS", "1"))
TRAINING = {
    "batch_size": 8,
    "jit_compile": False,
    "log_steps": 1,
    "checkpoint_seconds": 0.2,
    "shuffle_buffer": 1000,
    "optimizer": {"learning_rate": 1e-3, "warmup_steps": 10},
}
# More than a try can do: it ends half a second after its first checkpoint; a step takes 10 ms.
STEPS_A_TRY = 80


def newest(folder: pathlib.Path) -> int:
    """The step of the newest checkpoint."""
    names = [path.stem for path in (folder / "run").glob("ckpt-*.index")]
    return max((int(name.removeprefix("ckpt-")) for name in names), default=0)


def interrupt(
    processes: Sequence[AnyCommand], folder: pathlib.Path, chance: random.Random,
    how: signal.Signals,
) -> list[int]:  # fmt: skip
    """Ends a run after a random time of training, or while it starts; returns the exit codes."""
    at = newest(folder)
    early = how == signal.SIGKILL and chance.random() < 0.2
    started_at = time.monotonic()
    longest = chance.uniform(0.0, 8.0) if early else 120.0
    while newest(folder) == at and processes[0].poll() is None:
        if time.monotonic() - started_at > longest:
            assert early
            break
        time.sleep(0.02)
    else:
        time.sleep(chance.uniform(0.0, 0.5))
    victims = list(processes)
    if how == signal.SIGKILL and len(processes) > 1 and chance.random() < 0.5:
        victims = [chance.choice(processes)]  # the others notice
    codes = kill(victims, how)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=15)
    kill(processes, signal.SIGKILL)  # processes that wait for a lost one; the launcher does so too
    return codes


@pytest.mark.e2e
@pytest.mark.one_stack
@pytest.mark.parametrize("count", [1, 2], ids=["one process", "two processes"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    family: str, count: int, tmp_path: pathlib.Path
) -> None:
    if count == 2 and family != "elmo" and "POLYSEME_KILLS" not in os.environ:
        pytest.skip("ELMo carries the most state between steps; POLYSEME_KILLS tests all families")
    write_examples(family, tmp_path, streams=8)
    chance = random.Random(f"{family} {count}")
    steps = STEPS_A_TRY * (KILLS + TERMS)
    training = TRAINING | {"steps": steps}
    devices = {"strategy": "multi_worker"} if count == 2 else {}

    def begin(folder: pathlib.Path) -> list[AnyCommand]:
        return start(family, folder, training, devices, processes=count, dropout=0.1)

    whole, other = tmp_path / "whole", tmp_path / "interrupted"
    for folder in (whole, other):
        folder.mkdir()
        (folder / "examples").symlink_to(tmp_path / "examples")
    finish(begin(whole))
    hows = [signal.SIGKILL] * KILLS + [signal.SIGTERM] * TERMS
    chance.shuffle(hows)
    reached = []
    for how in hows:
        processes = begin(other)
        codes = interrupt(processes, other, chance, how)
        if how == signal.SIGTERM and newest(other) < steps:
            assert codes == [75] * count
        reached.append(newest(other))
    finish(begin(other))
    assert reached == sorted(reached)
    assert len(set(reached)) > len(reached) / 3, reached  # it trained between the kills
    assert reached[-1] < steps, reached  # and did not finish before the last try
    assert losses(other) == losses(whole)
    for worker in range(count):
        expected, found = weights(whole, worker), weights(other, worker)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
