"""A real search that is killed during a trial resumes and ends with the same results."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models.training.checkpoints import Checkpoints
from tests.components.little_search import RATE, SIZE, arguments, build_examples, searched

pytestmark = [pytest.mark.e2e, pytest.mark.one_stack]


class _Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Raises an error, like a kill, after a number of checkpoints was written."""
    save, left = Checkpoints.save, [0]

    def save_and_die(checkpoints: Checkpoints, **state: Any) -> None:
        save(checkpoints, **state)
        left[0] -= 1
        if left[0] == 0:
            raise _Killed

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    return lambda count: left.__setitem__(0, count)


def test_a_search_killed_in_a_trial_resumes_and_ends_with_the_same_results(
    examples: pathlib.Path,
    tmp_path: pathlib.Path,
    kill: Callable[[int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "polyseme")
    whole = searched(arguments(tmp_path / "whole", examples))
    assert [trial.number for trial in whole.trials] == [1, 2, 3]
    assert whole.trials[0].values == {RATE: 0.01, SIZE: 8}  # as configured
    assert len({trial.values[RATE] for trial in whole.trials}) == 3
    assert len({trial.held_out_loss for trial in whole.trials}) == 3
    assert (whole.steps, whole.logarithmic) == (4, (RATE,))
    assert "trial 3 of 3: held-out loss" in caplog.text
    assert not list((tmp_path / "whole" / "trials").rglob("ckpt-*"))

    caplog.clear()
    folder = tmp_path / "killed"
    kill(6)  # a checkpoint per step, four steps per trial: in the second trial
    with pytest.raises(_Killed):
        searched(arguments(folder, examples))
    assert len(list((folder / "trials").glob("*/result.json"))) == 1
    (folder / "working" / "search" / "oracle.json").write_text("{")  # as a kill may leave it
    kill(0)
    caplog.clear()
    assert searched(arguments(folder, examples)) == whole
    assert caplog.messages.count("this trial is already complete") == 1
    assert "resumed from step 2 of 4" in caplog.messages
